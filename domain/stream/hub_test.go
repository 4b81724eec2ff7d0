package stream_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

func TestHubOpensAStreamOnceAndClosesItWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{confirm: true}
		h := stream.NewHub(src, stream.HubConfig{Any: true, Idle: time.Minute})
		var wg sync.WaitGroup
		leases := make([]*stream.Lease, 20)
		for i := range leases {
			wg.Go(func() { leases[i] = acquire(t, h, "orders") })
		}
		wg.Wait()
		for _, l := range leases {
			if l.Stream != leases[0].Stream {
				t.Fatal("two streams of one system")
			}
			l.Release()
			l.Release()
		}
		h.Sweep()
		if src.opened != 1 || src.closed != 0 {
			t.Errorf("%d opened, %d closed; want 1 and 0", src.opened, src.closed)
		}
		time.Sleep(2 * time.Minute)
		held := acquire(t, h, "chat")
		h.Sweep()
		if src.closed != 1 || len(h.Streams()) != 1 {
			t.Errorf("%d closed, %d left; want 1 and 1", src.closed, len(h.Streams()))
		}
		held.Release()
		if again := acquire(t, h, "orders"); again.Stream == leases[0].Stream {
			t.Error("a closed stream came back")
		}
	})
}

func TestHubServesItsOwnSystemsAlways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		h := stream.NewHub(src, stream.HubConfig{Systems: []domain.System{system("orders")}})
		if err := h.Start(); err != nil {
			t.Fatal(err)
		}
		if h.Ready() {
			t.Error("ready before the bus has confirmed")
		}
		start(src.streams[0], logA, pos(0), time.Time{})
		if !h.Ready() {
			t.Error("not ready after the bus has confirmed")
		}
		time.Sleep(time.Hour)
		h.Sweep()
		if src.closed != 0 {
			t.Error("a system of its own was closed")
		}
		if _, err := h.Acquire(t.Context(), "", system("chat")); !errors.Is(err, domain.ErrNotServed) {
			t.Errorf("chat: %v, want ErrNotServed", err)
		}
	})
}

func TestAcquireWaitsForTheBusOnlyALittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		h := stream.NewHub(src, stream.HubConfig{Any: true, AttachWait: time.Second})
		start := time.Now()
		acquire(t, h, "orders").Release()
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("waited %v, want 1s", waited)
		}
		h.SetBusUp(false)
		acquire(t, h, "orders").Release()
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("waited for a bus that is known to be down")
		}
		h.SetBusUp(true)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Acquire(ctx, "", system("orders")); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	})
}

func TestHubIsBounded(t *testing.T) {
	h := stream.NewHub(&source{confirm: true}, stream.HubConfig{Any: true, MaxSystems: 2})
	acquire(t, h, "a")
	acquire(t, h, "b")
	if _, err := h.Acquire(t.Context(), "", system("c")); !errors.Is(err, domain.ErrLimit) {
		t.Errorf("%v, want ErrLimit", err)
	}
}

func TestSourceThatFailsLeavesNothingBehind(t *testing.T) {
	broken := errors.New("broken")
	src := &source{err: broken}
	h := stream.NewHub(src, stream.HubConfig{Any: true})
	if _, err := h.Acquire(t.Context(), "", system("a")); !errors.Is(err, broken) {
		t.Errorf("%v, want the source's error", err)
	}
	src.err, src.confirm = nil, true
	acquire(t, h, "a")
}

func acquire(t *testing.T, h *stream.Hub, name string) *stream.Lease {
	l, err := h.Acquire(t.Context(), "", system(name))
	if err != nil {
		t.Error(err)
	}
	return l
}

func system(name string) domain.System {
	s, err := domain.ParseSystem(name)
	if err != nil {
		panic(err)
	}
	return s
}

// A source counts, and confirms at once if it is told to.
type source struct {
	confirm        bool
	err            error
	opened, closed int
	streams        []*stream.Stream
}

func (s *source) Open(st *stream.Stream) error {
	if s.err != nil {
		return s.err
	}
	s.opened++
	s.streams = append(s.streams, st)
	if s.confirm {
		start(st, logA, pos(0), time.Time{})
	}
	return nil
}

func (s *source) Close(*stream.Stream) { s.closed++ }
