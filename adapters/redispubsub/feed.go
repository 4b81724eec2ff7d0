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

// pingAfter is how long a feed hears nothing before it asks for a sign of
// life. With the reply timeout (2 s) behind it, a dead connection is noticed
// well within 5 s.
const pingAfter = 2 * time.Second

// batchBytes is how many bytes of payload a batch takes before it is full.
const batchBytes = 4 << 20

// A feed is one subscription on one connection.
type feed struct {
	conn         *redisconn.Conn
	topic        string
	replyTimeout time.Duration
	heard        time.Time
	text         []byte // scratch
	err          error  // why the feed is over

	release func() // gives back the feed's slot
}

func (f *feed) Log() domain.LogID      { return 0 }
func (f *feed) Begin() domain.Position { return "" }
func (f *feed) LastHeard() time.Time   { return f.heard }

// Close ends the feed's connection, and makes room for another one.
func (f *feed) Close() error {
	f.release()
	return f.conn.Close()
}

// Read waits for the first message and takes along what has arrived with it.
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
		f.err = fmt.Errorf("redispubsub: read %s: %w", f.topic, redisconn.Classify(f.err))
	}
	if len(batch) > 0 {
		return batch, nil // what came before the end still counts
	}
	return nil, f.err
}

// await returns when something arrives, the answer to a ping included.
func (f *feed) await() error {
	if came, err := f.conn.Wait(pingAfter); came || err != nil {
		return err
	}
	f.conn.Queue("PING")
	if err := f.conn.Flush(); err != nil {
		return err
	}
	came, err := f.conn.Wait(f.replyTimeout)
	if err == nil && !came {
		err = fmt.Errorf("no answer to a ping within %v", f.replyTimeout)
	}
	return err
}

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

// readPush reads one push: a message, or the answer to a ping.
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
		if err := f.conn.Skip(); err != nil { // the channel: there is only one
			return nil, false, err
		}
		payload, err := f.conn.Bulk(nil)
		return payload, err == nil, err
	}
	return nil, false, errors.New("redis no longer treats this connection as a subscriber")
}
