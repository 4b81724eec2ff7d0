package redisstream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// sharedQueue is how many batches may wait for the reader of a shared feed.
const sharedQueue = 4

// A sharedFeed reads one stream on a connection that other feeds use as well. The
// connection's goroutine, in [sharedReader], reads the stream, proves the read and
// puts the batch into the feed's queue. Read takes it from there.
type sharedFeed struct {
	topic  string
	logID  domain.LogID
	begin  id                        // where the feed began
	shared *sharedConn               // set before the feed is returned to its reader
	ready  chan []domain.Entry       // batches that wait for Read; closed by end
	err    error                     // why the feed is over; set before ready is closed
	heard  atomic.Pointer[time.Time] // see LastHeard

	closed    chan struct{} // closed by Close
	markClose func()        // closes closed; further calls do nothing

	// Only the connection's goroutine uses these.
	progress   progress
	lastProven time.Time // when the stream was last proven to be the same one
	ended      bool      // end was called
	changed    bool      // in a cluster: the stream may have entries that were not read
}

func newSharedFeed(topic string, logID domain.LogID, start progress) *sharedFeed {
	f := &sharedFeed{
		topic: topic, logID: logID, begin: start.last, progress: start, changed: true,
		ready: make(chan []domain.Entry, sharedQueue), closed: make(chan struct{}),
	}
	f.markClose = sync.OnceFunc(func() { close(f.closed) })
	f.setHeard(time.Now())
	return f
}

func (f *sharedFeed) Log() domain.LogID      { return f.logID }
func (f *sharedFeed) Begin() domain.Position { return f.begin.position() }
func (f *sharedFeed) LastHeard() time.Time   { return *f.heard.Load() }
func (f *sharedFeed) setHeard(t time.Time)   { f.heard.Store(&t) }

// Read returns the next batch.
func (f *sharedFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	f.setHeard(time.Now())
	select {
	case batch, ok := <-f.ready:
		if !ok {
			return nil, f.err
		}
		return batch, nil
	case <-f.closed:
		return nil, readError(f.topic, domain.ErrClosed)
	case <-ctx.Done():
		_ = f.Close()
		return nil, readError(f.topic, domain.ErrClosed)
	}
}

// Close takes the feed off its connection.
func (f *sharedFeed) Close() error {
	f.markClose()
	f.shared.Leave(f.topic, f)
	return nil
}

// hasRoom reports whether another batch fits into the queue.
func (f *sharedFeed) hasRoom() bool { return len(f.ready) < cap(f.ready) }

// end makes err the reason why the feed is over. Read returns it after the batches
// that wait. Only the connection's goroutine calls end; a second call does nothing.
func (f *sharedFeed) end(err error) {
	if f.ended {
		return
	}
	f.ended = true
	f.err = readError(f.topic, err)
	close(f.ready)
}
