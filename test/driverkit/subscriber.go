package driverkit

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// GapWord stands for a gap in what a [Subscriber] received.
const GapWord = "gap"

// A Subscriber records what a bus delivers on one topic.
type Subscriber struct {
	mu       sync.Mutex
	received []string      // bodies, and GapWord for each gap; guarded by mu
	next     int           // the first of received that Next has not returned; guarded by mu
	more     chan struct{} // holds a token when something was received
}

// Subscribe subscribes to a topic. When the test ends it closes the bus.
func Subscribe(t *testing.T, bus *transport.Transport, topic string) *Subscriber {
	t.Helper()
	batches, err := bus.Batches().Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	s := &Subscriber{more: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range batches {
			entries, _ := domain.EntriesFrom(m.Context())
			s.record(entries)
			m.Ack()
		}
	}()
	t.Cleanup(func() { _ = bus.Close(); <-done })
	return s
}

func (s *Subscriber) record(entries []domain.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range entries {
		switch e := &entries[i]; e.Kind {
		case domain.Record:
			s.received = append(s.received, string(e.Body))
		case domain.Gap:
			s.received = append(s.received, GapWord)
		}
	}
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// Next returns the next body, or [GapWord]. It waits for that at most 20 s. Only
// one goroutine may call it.
func (s *Subscriber) Next(t *testing.T) string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		if s.next < len(s.received) {
			defer s.mu.Unlock()
			s.next++
			return s.received[s.next-1]
		}
		s.mu.Unlock()
		select {
		case <-s.more:
		case <-timeout:
			t.Fatal("nothing was received")
		}
	}
}

// Received returns all bodies so far, and the number of gaps.
func (s *Subscriber) Received() (bodies []string, gaps int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bodies = []string{}
	for _, word := range s.received {
		if word == GapWord {
			gaps++
			continue
		}
		bodies = append(bodies, word)
	}
	return bodies, gaps
}

// ReceiveNumbers acks batches until the UUIDs 0 to n-1 have come. They must come
// in order, each at least once, and without a gap.
func ReceiveNumbers(batches <-chan *message.Message, n int) error {
	next := 0
	for m := range batches {
		entries, _ := domain.EntriesFrom(m.Context())
		for _, e := range entries {
			switch {
			case e.Kind == domain.Gap:
				return fmt.Errorf("a gap after %d: %s", next, e.Reason)
			case e.Kind == domain.Record && e.UUID == fmt.Sprint(next):
				next++
			case e.Kind == domain.Record && e.UUID != fmt.Sprint(next-1): // published twice
				return fmt.Errorf("%s instead of %d", e.UUID, next)
			}
		}
		m.Ack()
		if next == n {
			return nil
		}
	}
	return fmt.Errorf("the subscription ended after %d", next)
}
