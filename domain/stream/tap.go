package stream

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// What a Stream made of an entry that it shows to its taps.
const (
	Taken       = "taken"     // it is in the window, and sessions were offered it
	Repeated    = "duplicate" // it has come before
	PastTTL     = "expired"   // it came later than its ttl
	Undecodable = "poison"    // it is no message
	Interrupted = "gap"       // it is none: continuity is not proven here
)

// A Seen is an entry that a Stream has taken in. It is good during the call alone.
type Seen struct {
	What    string // Taken, Repeated, PastTTL, Undecodable or Interrupted
	At      domain.Cursor
	Message *domain.Message  // nil unless it is one; not to be changed
	Reason  domain.GapReason // of a gap
	Time    time.Time        // when the log took it, by the log's clock
}

// A tap is a function that is shown what the stream takes in.
type tap struct{ show func(*Seen) }

// Tap has show called with each entry that the stream takes in from now on, until remove,
// which may be called more than once. Show is called with the stream's lock held: it neither
// blocks, nor calls back, nor keeps what it is shown. Taps are for operators who look for
// something: while there are none, they cost nothing.
func (s *Stream) Tap(show func(*Seen)) (remove func()) {
	t := &tap{show}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index.taps = append(s.index.taps, t)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.index.taps = slices.DeleteFunc(s.index.taps, func(other *tap) bool { return other == t })
	}
}

// show shows an entry to the taps.
func (s *Stream) show(what string, at domain.Cursor, m *domain.Message, reason domain.GapReason) {
	if len(s.index.taps) == 0 {
		return
	}
	seen := Seen{What: what, At: at, Message: m, Reason: reason, Time: at.Time}
	for _, t := range s.index.taps {
		t.show(&seen)
	}
}
