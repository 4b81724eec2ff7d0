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
	// maxLaneWaiting is how many bytes wait for all feeds of a connection. If there
	// are more, the feed for which most of them wait is over.
	maxLaneWaiting = 2 * maxWaiting
	// entryCost is what an entry costs beside its payload, about.
	entryCost = 256
)

var errTooSlow = errors.New("the reader does not keep up with the channel")

// A sharedFeed is a subscription on a connection that it shares with others.
type sharedFeed struct {
	topic     string
	lane      *lane
	confirmed chan struct{} // closed when the server has confirmed
	more      chan struct{} // holds one token while there may be something to take

	mu      sync.Mutex
	waiting []domain.Entry // guarded by mu
	size    int            // of waiting; guarded by mu
	asked   time.Time      // when Read was last called; guarded by mu
	err     error          // why the feed is over; guarded by mu
	left    bool           // Close was called; guarded by mu
}

// A lane is a connection that several feeds share.
type lane = redisconn.Lane[*sharedFeed, *subscriber]

func newSharedFeed(topic string) *sharedFeed {
	return &sharedFeed{topic: topic, confirmed: make(chan struct{}), more: make(chan struct{}, 1), asked: time.Now()}
}

func (f *sharedFeed) Log() domain.LogID      { return 0 }
func (f *sharedFeed) Begin() domain.Position { return "" }

// LastHeard is when the connection last had a sign of life, or Read was called.
func (f *sharedFeed) LastHeard() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if heard := time.Unix(0, f.lane.State.heard.Load()); heard.After(f.asked) {
		return heard
	}
	return f.asked
}

// Close takes the feed off the connection. The command to unsubscribe is sent
// first, so that whoever subscribes to the same topic next on this connection
// does so behind it. What nobody has read is forgotten.
func (f *sharedFeed) Close() error {
	f.end(domain.ErrClosed)
	if f.leave() {
		f.lane.State.command("UNSUBSCRIBE", f)
		f.lane.Leave(f.topic, f)
	}
	f.forget()
	return nil
}

// leave is true once.
func (f *sharedFeed) leave() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.left
	f.left = true
	return first
}

// Read waits until something has come and returns it.
func (f *sharedFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	f.ask()
	for {
		if batch, err := f.take(); batch != nil || err != nil {
			return batch, err
		}
		select {
		case <-f.more:
		case <-ctx.Done():
			_ = f.Close()
		}
	}
}

func (f *sharedFeed) ask() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = time.Now()
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
	f.size -= size
	f.lane.State.waiting.Add(-int64(size))
	if f.waiting = f.waiting[n:]; len(f.waiting) == 0 {
		f.waiting = nil
	} else {
		f.poke()
	}
	return batch, nil
}

// poke says that there may be something to take.
func (f *sharedFeed) poke() {
	select {
	case f.more <- struct{}{}:
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
	f.size += added
	f.lane.State.waiting.Add(int64(added))
	f.poke()
	return f.size <= maxWaiting
}

// forget drops what waits.
func (f *sharedFeed) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lane.State.waiting.Add(-int64(f.size))
	f.waiting, f.size = nil, 0
}

// held is how many bytes wait.
func (f *sharedFeed) held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// end says why the feed is over; the first reason stays.
func (f *sharedFeed) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = fmt.Errorf("redispubsub: read %s: %w", f.topic, redisconn.Classify(err))
	}
	f.poke()
}

func (f *sharedFeed) fault() error {
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
	if f.lane, err = d.lanes.Join(ctx, topic, f); err != nil {
		return nil, err
	}
	f.lane.State.command("SUBSCRIBE", f)
	if err := f.await(ctx); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (f *sharedFeed) await(ctx context.Context) error {
	select {
	case <-f.confirmed:
		return f.fault()
	case <-ctx.Done():
		return ctx.Err()
	}
}
