package transport_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// watched runs a Transport until the test ends.
func watched(t *testing.T, d transport.Driver) *transport.Transport {
	bus := transport.New(d, transport.Config{})
	t.Cleanup(func() { mustClose(t, bus) })
	go func() { _ = bus.Run(t.Context(), func(bool) {}) }()
	return bus
}

func subscribe(t *testing.T, sub message.Subscriber) <-chan *message.Message {
	t.Helper()
	in, err := sub.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// eat acks what comes, each message after a pause.
func eat(t *testing.T, in <-chan *message.Message, pause time.Duration) {
	go func() {
		for m := range in {
			if pass(t, pause) {
				m.Ack()
			}
		}
	}()
}

// pass lets time pass, and says whether the test goes on.
func pass(t *testing.T, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-t.Context().Done():
		return false
	}
}

// wantDeaf lets time pass and says what is then expected.
func wantDeaf(t *testing.T, bus *transport.Transport, after time.Duration, want bool) {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	if bus.Deaf() != want || (bus.Stats().Lagging > 0) != want {
		t.Errorf("after %v: deaf %v, %d behind; want deaf %v", after, bus.Deaf(), bus.Stats().Lagging, want)
	}
}

func TestWhoHandsNothingOverIsDeaf(t *testing.T) {
	for _, face := range []string{"batches", "one by one"} {
		synctest.Test(t, func(t *testing.T) {
			l := newLog(3)
			bus := watched(t, l)
			sub := message.Subscriber(bus)
			if face == "batches" {
				sub = bus.Batches()
			}
			in := subscribe(t, sub)
			if face == "batches" {
				(<-in).Ack() // the start
			}
			wantDeaf(t, bus, time.Hour, false)
			l.add(1)
			m := <-in
			wantDeaf(t, bus, 4*time.Second, false)
			wantDeaf(t, bus, 2*time.Second, true)
			m.Ack()
			wantDeaf(t, bus, time.Second, false)
		})
	}
}

// It gets there no more, though it never stops.
func TestWhoFallsEverMoreBehindIsDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(0)
		bus := watched(t, l)
		eat(t, subscribe(t, bus), 200*time.Millisecond)
		grow(t, l, 1, time.Second/10)
		wantDeaf(t, bus, 5*time.Second, false)
		wantDeaf(t, bus, 15*time.Second, true)
	})
}

func TestWhoIsAlwaysALittleBehindIsNotDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(0)
		bus := watched(t, l)
		eat(t, subscribe(t, bus.Batches()), 3*time.Second)
		grow(t, l, 3, 3*time.Second)
		for range 100 {
			wantDeaf(t, bus, time.Second, false)
		}
	})
}

// grow adds n entries to a log, again and again.
func grow(t *testing.T, l *fakeLog, n int, pause time.Duration) {
	go func() {
		for pass(t, pause) {
			l.add(n)
		}
	}()
}

// What was the tail may go before anybody has read it.
func TestTailThatIsTakenBackIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(3)
		bus := watched(t, l)
		in := subscribe(t, bus.Batches())
		(<-in).Ack()
		l.set(func() { l.hidden = 5 })
		l.add(1)
		wantDeaf(t, bus, 10*time.Second, true)
		l.set(func() { l.entries = l.entries[:3] })
		wantDeaf(t, bus, time.Second, false)
		l.add(7)
		wantDeaf(t, bus, 3*time.Second, false)
		l.set(func() { l.entries = l.entries[:4] })
		wantDeaf(t, bus, 3*time.Second, false)
		wantDeaf(t, bus, 4*time.Second, true)
	})
}

func TestWithoutAFeedItIsDeafOnlyWhileTheBrokerAnswers(t *testing.T) {
	for _, log := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var down, mute atomic.Bool
			first := feed(1, position(0))
			driver := &fakeDriver{guarantees: transport.Guarantees{Log: log}}
			driver.ping = func(context.Context) error {
				if down.Load() {
					return errNet
				}
				return nil
			}
			driver.follow = func(context.Context, string, domain.Position) (transport.Feed, error) {
				switch {
				case mute.Load():
					return nil, errNet
				case first.isClosed():
					return feed(1, position(0)), nil
				}
				return first, nil
			}
			bus := watched(t, driver)
			in := subscribe(t, bus.Batches())
			(<-in).Ack()
			wantDeaf(t, bus, time.Hour, false)

			mute.Store(true)
			_ = first.Close()
			wantDeaf(t, bus, 4*time.Second, false)
			wantDeaf(t, bus, 2*time.Second, true)
			down.Store(true)
			wantDeaf(t, bus, time.Second, false)
			wantDeaf(t, bus, time.Hour, false)
			down.Store(false)
			wantDeaf(t, bus, 4*time.Second, false)
			wantDeaf(t, bus, 3*time.Second, true)
			mute.Store(false)
			wantDeaf(t, bus, 4*time.Second, false)
			if !log {
				(<-in).Ack() // the gap
			}
		})
	}
}

func TestTailIsAskedOncePerTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(3)
		bus := watched(t, l)
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			in, err := bus.Subscribe(ctx, topic)
			if err != nil {
				t.Fatal(err)
			}
			eat(t, in, 0)
		}
		synctest.Wait()
		before := l.asks()
		time.Sleep(100 * time.Second)
		synctest.Wait()
		if n := l.asks() - before; n < 99 || n > 101 {
			t.Errorf("the tail was asked for %d times in 100 s", n)
		}
		cancel()
		synctest.Wait()
		before = l.asks()
		time.Sleep(100 * time.Second)
		synctest.Wait()
		if n := l.asks() - before; n > 1 {
			t.Errorf("nobody follows, and the tail is asked for %d times", n)
		}
	})
}
