package redispubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	// maxWaiting is how many bytes may wait in the queue of a shared feed. A feed
	// whose reader leaves more is over, so that it does not hold up the others on
	// its connection. On a connection of its own, the server would end such a feed
	// in a similar way.
	maxWaiting = 16 << 20
	// maxConnWaiting is how many bytes may wait for all feeds of one connection. If
	// there are more, the feed with the longest queue is over.
	maxConnWaiting = 2 * maxWaiting
	// entryCost is about how many bytes an entry takes beside its payload.
	entryCost = 256
)

var errTooSlow = errors.New("the reader does not keep up with the channel")

// A sharedFeed is a subscription on a connection that other feeds use as well. The
// connection's goroutine, in [subscriber], puts messages into the feed's queue; Read
// takes them from there.
type sharedFeed struct {
	topic     string
	shared    *sharedConn
	confirmed chan struct{} // closed when the server has replied to SUBSCRIBE
	wake      chan struct{} // holds a token when Read may find something new

	mu       sync.Mutex
	waiting  []domain.Entry // the queue; guarded by mu
	bytes    int            // how many bytes wait in the queue; guarded by mu
	lastRead time.Time      // when Read was last called; guarded by mu
	err      error          // why the feed is over; guarded by mu
	closed   bool           // Close was called; guarded by mu
}

func newSharedFeed(topic string) *sharedFeed {
	return &sharedFeed{
		topic: topic, confirmed: make(chan struct{}), wake: make(chan struct{}, 1),
		lastRead: time.Now(),
	}
}

func (f *sharedFeed) Log() domain.LogID      { return 0 }
func (f *sharedFeed) Begin() domain.Position { return "" }

// LastHeard returns when anything last arrived on the connection or, if that is
// later, when Read was last called.
func (f *sharedFeed) LastHeard() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if heard := time.Unix(0, f.shared.State.heard.Load()); heard.After(f.lastRead) {
		return heard
	}
	return f.lastRead
}

// awaitConfirmation waits until the server has replied to SUBSCRIBE, and returns the
// error if it refused.
func (f *sharedFeed) awaitConfirmation(ctx context.Context) error {
	select {
	case <-f.confirmed:
		return f.endReason()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Read waits until something is in the queue and returns it, a batch at most.
func (f *sharedFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	f.noteRead()
	for {
		if batch, err := f.take(); batch != nil || err != nil {
			return batch, err
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			_ = f.Close()
		}
	}
}

// noteRead notes that Read is called now.
func (f *sharedFeed) noteRead() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastRead = time.Now()
}

// take takes a batch from the queue. It returns the reason why the feed is over only
// when the queue is empty, so that Read returns everything that came before the end.
func (f *sharedFeed) take() ([]domain.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.waiting), transport.BatchSize)
	if n == 0 {
		return nil, f.err
	}
	batch, size := f.waiting[:n:n], 0
	for i := range batch {
		size += entryCost + len(batch[i].Body)
	}
	f.bytes -= size
	f.shared.State.waiting.Add(-int64(size))
	if f.waiting = f.waiting[n:]; len(f.waiting) == 0 {
		f.waiting = nil
	} else {
		f.signal()
	}
	return batch, nil
}

// signal makes Read look at the queue, and at the end of the feed, again.
func (f *sharedFeed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Close takes the feed off its connection. What waits in the queue is dropped.
//
// UNSUBSCRIBE is sent before the feed leaves the connection. So when another feed
// subscribes to the same topic on this connection, its SUBSCRIBE comes later.
func (f *sharedFeed) Close() error {
	f.end(domain.ErrClosed)
	if f.markClosed() {
		f.shared.State.send("UNSUBSCRIBE", f)
		f.shared.Leave(f.topic, f)
	}
	f.discard()
	return nil
}

// markClosed notes that Close was called, and reports whether this is the first call.
func (f *sharedFeed) markClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.closed
	f.closed = true
	return first
}

// put adds an entry to the queue, unless the feed is over. It reports whether the
// queue is still within its limit.
func (f *sharedFeed) put(e domain.Entry) (ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return true
	}
	added := entryCost + len(e.Body)
	f.waiting = append(f.waiting, e)
	f.bytes += added
	f.shared.State.waiting.Add(int64(added))
	f.signal()
	return f.bytes <= maxWaiting
}

// discard empties the queue.
func (f *sharedFeed) discard() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shared.State.waiting.Add(-int64(f.bytes))
	f.waiting, f.bytes = nil, 0
}

// waitingBytes returns how many bytes wait in the queue.
func (f *sharedFeed) waitingBytes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes
}

// end makes err the reason why the feed is over, unless it is over already.
func (f *sharedFeed) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = fmt.Errorf("redispubsub: read %s: %w", f.topic, redisconn.Classify(err))
	}
	f.signal()
}

// endReason returns why the feed is over, nil if it is not.
func (f *sharedFeed) endReason() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// refuse ends the feed, and the wait for its confirmation. Only the connection's
// goroutine calls refuse and confirm.
func (f *sharedFeed) refuse(reason error) {
	f.end(reason)
	f.confirm()
}

// confirm notes that the server has replied to SUBSCRIBE.
func (f *sharedFeed) confirm() {
	if !f.isConfirmed() {
		close(f.confirmed)
	}
}

// isConfirmed reports whether the server has replied to SUBSCRIBE.
func (f *sharedFeed) isConfirmed() bool {
	select {
	case <-f.confirmed:
		return true
	default:
		return false
	}
}
