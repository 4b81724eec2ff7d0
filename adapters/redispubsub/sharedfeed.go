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
	// maxWaiting is how many bytes of payload wait for the reader of a feed that
	// shares its connection. A feed whose reader is slower than that is over, as
	// it would be on a connection of its own, which the server would cut: the
	// others of its connection must not wait for it.
	maxWaiting = 16 << 20
	// maxConnWaiting is how many bytes wait for all feeds of a connection. If there
	// are more, the feed for which most of them wait is over.
	maxConnWaiting = 2 * maxWaiting
	// entryCost is what an entry costs beside its payload, about.
	entryCost = 256
)

var errTooSlow = errors.New("the reader does not keep up with the channel")

// A sharedFeed is a subscription on a connection that it shares with others.
type sharedFeed struct {
	topic     string
	shared    *sharedConn
	confirmed chan struct{} // closed when the server has confirmed
	wake      chan struct{} // holds one token while there may be something to take

	mu       sync.Mutex
	waiting  []domain.Entry // guarded by mu
	bytes    int            // of waiting; guarded by mu
	lastRead time.Time      // when Read was last called; guarded by mu
	err      error          // why the feed is over; guarded by mu
	closed   bool           // Close was called; guarded by mu
}

// A sharedConn is a connection that several feeds share.
type sharedConn = redisconn.SharedConn[*sharedFeed, *subscriber]

func newSharedFeed(topic string) *sharedFeed {
	return &sharedFeed{topic: topic, confirmed: make(chan struct{}), wake: make(chan struct{}, 1), lastRead: time.Now()}
}

func (f *sharedFeed) Log() domain.LogID      { return 0 }
func (f *sharedFeed) Begin() domain.Position { return "" }

// LastHeard is when the connection last had a sign of life, or Read was called.
func (f *sharedFeed) LastHeard() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if heard := time.Unix(0, f.shared.State.heard.Load()); heard.After(f.lastRead) {
		return heard
	}
	return f.lastRead
}

// Close takes the feed off the connection. The command to unsubscribe is sent
// first, so that whoever subscribes to the same topic next on this connection
// does so behind it. What nobody has read is forgotten.
func (f *sharedFeed) Close() error {
	f.end(domain.ErrClosed)
	if f.markClosed() {
		f.shared.State.send("UNSUBSCRIBE", f)
		f.shared.Leave(f.topic, f)
	}
	f.discard()
	return nil
}

// markClosed is true once.
func (f *sharedFeed) markClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.closed
	f.closed = true
	return first
}

// Read waits until something has come and returns it.
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

func (f *sharedFeed) noteRead() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastRead = time.Now()
}

// take returns what waits, a batch at most, and the feed's end only behind it.
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

// signal says that there may be something to take.
func (f *sharedFeed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// put adds what has come, unless the feed is over. It says whether the feed can
// take more.
func (f *sharedFeed) put(e domain.Entry) (more bool) {
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

// discard drops what waits.
func (f *sharedFeed) discard() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shared.State.waiting.Add(-int64(f.bytes))
	f.waiting, f.bytes = nil, 0
}

// waitingBytes is how many bytes wait.
func (f *sharedFeed) waitingBytes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes
}

// end says why the feed is over; the first reason stays.
func (f *sharedFeed) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = fmt.Errorf("redispubsub: read %s: %w", f.topic, redisconn.Classify(err))
	}
	f.signal()
}

func (f *sharedFeed) endReason() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// refuse ends a feed, and the wait for its confirmation. The goroutine that
// serves calls it, and confirm.
func (f *sharedFeed) refuse(why error) {
	f.end(why)
	f.confirm()
}

// confirm says that the server has answered to the subscription.
func (f *sharedFeed) confirm() {
	if !f.isConfirmed() {
		close(f.confirmed)
	}
}

func (f *sharedFeed) isConfirmed() bool {
	select {
	case <-f.confirmed:
		return true
	default:
		return false
	}
}

// followShared subscribes on a shared connection and returns when the server has
// confirmed.
func (d *Driver) followShared(ctx context.Context, topic string) (_ transport.Feed, err error) {
	f := newSharedFeed(topic)
	if f.shared, err = d.shared.Join(ctx, topic, f); err != nil {
		return nil, err
	}
	f.shared.State.send("SUBSCRIBE", f)
	if err := f.awaitConfirmation(ctx); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (f *sharedFeed) awaitConfirmation(ctx context.Context) error {
	select {
	case <-f.confirmed:
		return f.endReason()
	case <-ctx.Done():
		return ctx.Err()
	}
}
