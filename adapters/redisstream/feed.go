package redisstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// block is how long the server waits for entries before it answers that there
// are none. So often is a quiet stream looked at; and with the reply timeout
// (2 s) behind it, a dead connection is noticed well within 5 s.
const blockTime = time.Second

// batchBytes is about how many bytes a batch should have at most: where entries
// are large, a feed asks for fewer of them.
const batchBytes = 4 << 20

// A feed reads one stream on one connection.
//
// It asks for the next batch before it hands out the one it has, so that the
// server and the reader work at the same time. What waits is at most a batch.
type feed struct {
	conn         *redisconn.Conn
	topic        string
	log          domain.LogID
	begin        id
	progress     progress
	replyTimeout time.Duration
	count        int   // how many entries to ask for
	requested    bool  // the answers to ask are on their way
	err          error // why the feed is over
	heard        time.Time
	replies      replyReader

	release func() // gives back the feed's slot
}

func (f *feed) Log() domain.LogID      { return f.log }
func (f *feed) Begin() domain.Position { return f.begin.position() }
func (f *feed) LastHeard() time.Time   { return f.heard }

// Close ends the feed's connection, and makes room for another one.
func (f *feed) Close() error {
	f.release()
	return f.conn.Close()
}

// Read returns what the server has after the last entry returned, and proves
// that it is what follows.
func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.heard = time.Now()
	defer context.AfterFunc(ctx, func() { _ = f.conn.Close() })()
	for {
		batch, err := f.receive()
		if err != nil {
			return nil, f.fail(err)
		}
		if err := f.request(); err != nil {
			_ = f.fail(err) // next time: this batch is good
		}
		if len(batch) > 0 {
			return batch, nil
		}
		if f.err != nil {
			return nil, f.err
		}
	}
}

func (f *feed) fail(err error) error {
	f.err = readError(f.topic, err)
	return f.err
}

func readError(topic string, err error) error {
	if lost := (*transport.GapError)(nil); errors.As(err, &lost) {
		return err
	}
	return fmt.Errorf("redisstream: read %s: %w", topic, redisconn.Classify(err))
}

// request asks for what follows, and right behind it, so that it is answered after
// the read, for the entry where we stand: if that is still there, nothing that
// followed it had been trimmed.
func (f *feed) request() error {
	at := f.progress.last.String()
	f.conn.Queue("XREAD", "COUNT", strconv.Itoa(f.count),
		"BLOCK", strconv.FormatInt(blockTime.Milliseconds(), 10), "STREAMS", f.topic, at)
	f.conn.Queue("XRANGE", f.topic, at, at, "COUNT", "1")
	f.requested = true
	return f.conn.Flush()
}

// receive reads the answers to ask, proves the receive and moves on.
func (f *feed) receive() ([]domain.Entry, error) {
	if !f.requested {
		if err := f.request(); err != nil {
			return nil, err
		}
	}
	f.requested = false
	if err := f.wait(blockTime + f.replyTimeout); err != nil {
		return nil, err
	}
	batch, last, err := f.replies.readStream(f.conn)
	if err != nil {
		return nil, err
	}
	present, err := readExists(f.conn)
	if err != nil {
		return nil, err
	}
	if err := f.prove(present, len(batch)); err != nil {
		return nil, err
	}
	f.heard = time.Now()
	f.progress.advance(last, len(batch))
	f.count = nextCount(f.count, f.replies.valueBytes)
	return batch, nil
}

// nextCount is how many entries to ask for after a read of count entries at
// most that had size bytes.
func nextCount(count, size int) int {
	if size > batchBytes {
		return max(1, int(int64(count)*batchBytes/int64(size)))
	}
	return min(transport.BatchSize, count*2)
}

// prove proves a read of got entries; present says that the entry where we
// stand is still there.
func (f *feed) prove(present bool, got int) error {
	if f.progress.isProven(present, got) {
		return nil
	}
	f.conn.Queue("XINFO", "STREAM", f.topic)
	if err := f.conn.Flush(); err != nil {
		return err
	}
	if err := f.wait(f.replyTimeout); err != nil {
		return err
	}
	s, err := readInfo(f.conn)
	if err != nil {
		return err
	}
	return f.progress.verify(s, present, got)
}

func (f *feed) wait(d time.Duration) error {
	came, err := f.conn.Wait(d)
	if err == nil && !came {
		err = fmt.Errorf("no answer within %v", d)
	}
	return err
}
