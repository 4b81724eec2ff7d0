package redisstream

import (
	"context"
	"errors"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/internal/pause"
)

const (
	// invalidations is the channel on which a server says which keys have changed.
	invalidations = "__redis__:invalidate"
	// pollInterval is how often streams are read whose changes a server does not tell.
	pollInterval = 25 * time.Millisecond
	// changesBlock is how long a reader that has more to read waits for changes.
	changesBlock = time.Millisecond
)

// Changes tell which streams of a cluster's master have changed.
//
// A cluster does not wait for entries of several streams at once, unless they have the
// same hash slot. So the reader of a shared connection asks for each stream by itself,
// and does not wait. It asks only for streams that have changed: the server notes which
// keys the connection has read, and names each that changes afterwards, once (that is
// [client-side caching]). It names them on a second connection, since the first one
// speaks RESP2.
//
// A user who may not ask for that reads all streams every pollInterval.
//
// [client-side caching]: https://redis.io/docs/latest/develop/reference/client-side-caching/
type changes struct {
	conn    *redisconn.Conn // nil if the server does not tell
	refused error           // why it does not
}

// watchChanges has the server tell the changes of what reader reads. wake is another
// connection to the same server, which changes owns from then on.
func watchChanges(reader, wake *redisconn.Conn) (*changes, error) {
	err := subscribeToChanges(reader, wake)
	if err == nil {
		return &changes{conn: wake}, nil
	}
	_ = wake.Close()
	if isErrorReply(err) {
		return &changes{refused: err}, nil
	}
	return nil, err
}

func subscribeToChanges(reader, wake *redisconn.Conn) error {
	wake.Queue("CLIENT", "ID")
	wake.Queue("SUBSCRIBE", invalidations)
	if err := wake.Flush(); err != nil {
		return err
	}
	id, err := wake.Text()
	if err == nil {
		err = wake.Skip()
	}
	if err != nil {
		return err
	}
	reader.Queue("CLIENT", "TRACKING", "ON", "REDIRECT", id)
	if err := reader.Flush(); err != nil {
		return err
	}
	return reader.Skip()
}

func (c *changes) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// await waits for changes, at most for d, and calls changed with the topic of each
// stream that may have changed, or with "" for all.
func (c *changes) await(d time.Duration, changed func(topic string)) error {
	if c.conn == nil {
		pause.For(context.Background(), min(d, pollInterval))
		changed("")
		return nil
	}
	arrived, err := c.conn.Wait(d)
	if err != nil || !arrived {
		return err
	}
	for first := true; first || c.conn.Buffered(); first = false {
		if err := c.readMessage(changed); err != nil {
			return err
		}
	}
	return nil
}

// readMessage reads a message that names keys, or none if all have changed.
func (c *changes) readMessage(changed func(topic string)) error {
	if n, err := c.conn.Array(); err != nil || n != 3 {
		return errors.Join(errReply, err)
	}
	for range 2 { // the kind of the message, and the channel
		if err := c.conn.Skip(); err != nil {
			return err
		}
	}
	keys, err := c.conn.Texts()
	if err == nil && keys == nil {
		changed("")
	}
	for _, key := range keys {
		changed(key)
	}
	return err
}
