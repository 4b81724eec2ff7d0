package transport_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// patience is how long a test on the real clock waits before it says that
// something hangs.
const patience = 60 * time.Second

// Many callers with tiny deadlines, on a driver that is slow at random, on real
// timers and threads: a wake-up that gets lost would leave a caller waiting, or
// the pipeline without a leader.
func TestNobodyIsLeftWaiting(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, numbering := range []bool{false, true} {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("numbering %v, closed under way %v", numbering, closed), func(t *testing.T) {
				driver := &fakeDriver{guarantees: transport.Guarantees{Log: !numbering}, publish: slowly(seed)}
				bus := transport.New(driver, transport.Config{PublishTimeout: time.Millisecond, PublishQueue: 64})
				var callers sync.WaitGroup
				for caller := range 64 {
					callers.Go(func() { press(t, bus, rand.New(rand.NewPCG(seed, uint64(caller)))) })
				}
				if closed {
					callers.Go(func() {
						for bus.Stats().Published < 1000 {
							runtime.Gosched()
						}
						mustClose(t, bus)
					})
				}
				if !finishes(callers.Wait) {
					t.Fatal("a caller did not return")
				}
				if s := bus.Stats(); s.Published == 0 || s.PublishErrors == 0 {
					t.Errorf("no mixture: %+v", s)
				}
				if !closed {
					lastOne(t, bus)
				}
				if !finishes(func() { mustClose(t, bus) }) {
					t.Fatal("Close did not return")
				}
			})
		}
	}
}

// slowly returns a Publish that takes up to 0.5 ms, obeys its context, and
// fails now and then.
func slowly(seed uint64) func(context.Context, []transport.Outgoing) []error {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1000))
	return func(ctx context.Context, out []transport.Outgoing) []error {
		mu.Lock()
		dice := random.IntN(10)
		pause := time.Duration(random.IntN(500)) * time.Microsecond
		mu.Unlock()
		errs := make([]error, len(out))
		if dice < 5 {
			timer := time.NewTimer(pause)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				errs[len(errs)-1] = ctx.Err()
			}
		}
		if dice == 9 {
			errs[0] = errNet
		}
		return errs
	}
}

// press publishes on a few topics with deadlines of next to nothing.
func press(t *testing.T, bus *transport.Transport, random *rand.Rand) {
	for range 300 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(600))*time.Microsecond)
		err := bus.PublishContext(ctx, fmt.Sprint(random.IntN(2)), numbered(random.IntN(100)), numbered(0))
		cancel()
		if errors.Is(err, domain.ErrClosed) {
			return
		}
	}
}

// lastOne publishes until it succeeds, on each topic.
func lastOne(t *testing.T, bus *transport.Transport) {
	t.Helper()
	for _, topic := range []string{"0", "1"} {
		end := time.Now().Add(patience)
		for bus.Publish(topic, numbered(1)) != nil {
			if time.Now().After(end) {
				t.Fatalf("nothing can be published on %s any more", topic)
			}
		}
	}
}

// finishes says whether a function returns within patience.
func finishes(f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return true
	case <-time.After(patience):
		return false
	}
}
