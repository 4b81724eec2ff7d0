package transport_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// wantLag lets time pass and wants the topic to be so far behind then, to a second.
func wantLag(t *testing.T, bus *transport.Transport, after, want time.Duration) {
	t.Helper()
	wantLagWithin(t, bus, after, want, 0)
}

// wantLagWithin is wantLag to the slack and a second.
func wantLagWithin(t *testing.T, bus *transport.Transport, after, want, slack time.Duration) {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	got, known := bus.Lags()[topic]
	if !known || got < want-slack-1100*time.Millisecond || got > want+slack {
		t.Errorf("behind by %v (%v), want %v", got, known, want)
	}
}

func TestTheLagIsForHowLongSomethingHasWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(3)
		bus := watched(t, l)
		in := subscribe(t, bus.Batches())
		(<-in).Ack() // the start
		wantLag(t, bus, time.Hour, 0)
		l.add(1)
		first := <-in
		wantLag(t, bus, 10*time.Second, 10*time.Second)
		l.add(1)
		wantLag(t, bus, 20*time.Second, 30*time.Second)
		first.Ack()
		second := <-in
		wantLag(t, bus, time.Second, 21*time.Second) // the second one has come ten seconds later
		second.Ack()
		wantLag(t, bus, time.Second, 0)
	})
}

// However long somebody is behind, and whatever has come meanwhile, the lag goes down as
// what waits is taken in. It is known to some hundredths of the longest that it was.
func TestTheLagOfLongIsKnownToAFewHundredths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(0)
		bus := watched(t, l)
		in := subscribe(t, bus) // one by one
		const longest = 1000 * time.Second
		for range 1000 {
			l.add(1)
			time.Sleep(time.Second)
		}
		for i := range 1000 {
			if i%100 == 0 {
				wantLagWithin(t, bus, time.Second, time.Duration(1000-i)*time.Second, longest/20)
			}
			(<-in).Ack()
		}
		wantLag(t, bus, time.Second, 0)
	})
}

func TestALagIsNotKnownWhileTheBusIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down, mute atomic.Bool
		first := feed(1, position(0))
		driver := &fakeDriver{}
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
		wantLag(t, bus, time.Hour, 0)
		mute.Store(true)
		_ = first.Close()
		wantLag(t, bus, time.Minute, time.Minute)
		down.Store(true)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if lags := bus.Lags(); len(lags) > 0 {
			t.Errorf("the bus is down: %v", lags)
		}
		down.Store(false)
		wantLag(t, bus, 30*time.Second, 30*time.Second) // while it was down nobody could publish
		mute.Store(false)
		time.Sleep(5 * time.Second)
		(<-in).Ack() // the gap
		wantLag(t, bus, time.Second, 0)
	})
}

// A log that is made anew has other positions: those of the old one are not waited for.
func TestALogThatGoesBackIsNoLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(3)
		bus := watched(t, l)
		in := subscribe(t, bus.Batches())
		(<-in).Ack()
		l.set(func() { l.hidden = 5 })
		l.add(1)
		wantLag(t, bus, 10*time.Second, 10*time.Second)
		l.set(func() { l.entries = l.entries[:3] })
		wantLag(t, bus, 2*time.Second, 0)
	})
}

func TestItIsToldHowLongAPublishTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{gate: make(chan struct{})}
		var mu sync.Mutex
		var took []time.Duration
		bus := transport.New(w.driver(), transport.Config{
			PublishTimeout: time.Second,
			Published: func(d time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				took = append(took, d)
			},
		})
		defer mustClose(t, bus)
		go func() {
			time.Sleep(300 * time.Millisecond)
			w.gate <- struct{}{}
		}()
		if err := bus.Publish(topic, message.NewMessage("1", nil), message.NewMessage("2", nil)); err != nil {
			t.Fatal(err)
		}
		if err := bus.Publish(topic, message.NewMessage("3", nil)); !errors.Is(err, domain.ErrBusDown) {
			t.Fatalf("got %v, want that the bus does not answer", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(took) != 1 || took[0] != 300*time.Millisecond {
			t.Errorf("told %v, want one publish of 300ms: what fails is not told", took)
		}
	})
}
