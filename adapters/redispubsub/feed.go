package redispubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	// pingAfter is how long a feed hears nothing before it sends a PING. Together
	// with the reply timeout, 2 s by default, it bounds the time until a dead
	// connection is noticed.
	pingAfter = 2 * time.Second

	// batchBytes is how many bytes of payload fill a batch.
	batchBytes = 4 << 20
)

var errNotSubscribed = errors.New("redis no longer treats this connection as a subscriber")

// A feed is one subscription on a connection of its own.
type feed struct {
	conn         *redisconn.Conn
	masters      *redisconn.Masters
	topic        string
	replyTimeout time.Duration
	release      func() // gives the feed's slot back

	heard time.Time
	text  []byte // scratch: the kind of a push
	err   error  // why the feed is over
}

// subscribe subscribes to the topic, and returns when the server has confirmed it.
func subscribe(ctx context.Context, conn *redisconn.Conn, topic string) error {
	defer conn.Bind(ctx)()
	conn.Queue("SUBSCRIBE", topic)
	if err := conn.Flush(); err != nil {
		return err
	}
	return readConfirmation(conn, topic)
}

// readConfirmation reads the reply to SUBSCRIBE.
func readConfirmation(conn *redisconn.Conn, topic string) error {
	n, err := conn.Array()
	if err != nil {
		return err
	}
	kind, err := conn.Text()
	if err != nil {
		return err
	}
	channel, err := conn.Text()
	if err != nil {
		return err
	}
	if n != 3 || kind != "subscribe" || channel != topic {
		return fmt.Errorf("redis did not confirm the subscription, but answered %.64q of %.64q",
			kind, channel)
	}
	return conn.Skip()
}

func (f *feed) Log() domain.LogID      { return 0 }
func (f *feed) Begin() domain.Position { return "" }
func (f *feed) LastHeard() time.Time   { return f.heard }

// Close closes the feed's connection, and gives its slot to the next feed.
func (f *feed) Close() error {
	f.release()
	return f.conn.Close()
}

// Read waits for a message, and returns it together with those that have already
// arrived behind it.
func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.heard = time.Now()
	defer context.AfterFunc(ctx, func() { _ = f.conn.Close() })()
	var batch []domain.Entry
	for len(batch) == 0 && f.err == nil {
		if f.err = f.await(); f.err == nil {
			f.heard = time.Now()
			batch, f.err = f.readBuffered()
		}
	}
	if f.err != nil {
		f.err = fmt.Errorf("redispubsub: read %s: %w", f.topic, redisconn.Classify(f.conn.Explain(f.topic, f.err)))
	}
	if len(batch) > 0 {
		return batch, nil // if there is an error as well, the next Read returns it
	}
	return nil, f.err
}

// await waits until anything arrives. After pingAfter it sends a PING, whose reply
// counts as well. A server that has left its cluster replies, but hears nothing.
func (f *feed) await() error {
	if arrived, err := f.conn.Wait(pingAfter); arrived || err != nil {
		return err
	}
	if err := f.masters.CheckMember(f.conn); err != nil {
		return err
	}
	f.conn.Queue("PING")
	if err := f.conn.Flush(); err != nil {
		return err
	}
	return awaitPong(f.conn, f.replyTimeout)
}

// awaitPong waits until anything arrives after a PING was sent.
func awaitPong(conn *redisconn.Conn, replyTimeout time.Duration) error {
	arrived, err := conn.Wait(replyTimeout)
	if err == nil && !arrived {
		err = fmt.Errorf("no answer to a ping within %v", replyTimeout)
	}
	return err
}

// readBuffered reads what has arrived, a batch at most.
func (f *feed) readBuffered() ([]domain.Entry, error) {
	var batch []domain.Entry
	for size := 0; len(batch) < transport.BatchSize && size < batchBytes && f.conn.Buffered(); {
		payload, ok, err := f.readPush()
		if err != nil {
			return batch, err
		}
		if ok {
			batch, size = append(batch, decode(payload)), size+len(payload)
		}
	}
	return batch, nil
}

// readPush reads one push of the server. ok says that it is a message, and not the
// reply to a PING.
func (f *feed) readPush() (payload []byte, ok bool, err error) {
	n, err := f.conn.Array()
	if err != nil {
		return nil, false, err
	}
	if f.text, err = f.conn.Bulk(f.text[:0]); err != nil {
		return nil, false, err
	}
	switch kind := string(f.text); {
	case kind == "pong" && n == 2:
		return nil, false, f.conn.Skip()
	case kind == "message" && n == 3:
		// The channel need not be looked at: there is only one on this connection.
		if err := f.conn.Skip(); err != nil {
			return nil, false, err
		}
		payload, err := f.conn.Bulk(nil)
		return payload, err == nil, err
	}
	return nil, false, errNotSubscribed
}
