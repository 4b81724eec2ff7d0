package stream

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A Stream keeps the newest entries of one system, and offers them to the
// sessions attached to it. Entries come in by [Stream.Step]; sessions by
// [Stream.Attach]. It is safe for concurrent use, but only one feed may call
// Step.
type Stream struct {
	system domain.System
	cfg    Config
	ready  chan struct{} // closed when the bus has confirmed, see Ready

	mu       sync.Mutex // guards everything below
	bus      busState
	history  history.History
	dedupe   history.Dedupe
	index    index
	waitlist waitlist // sessions whose cursors are ahead of the stream
	backlog  backlog  // what is read again from the log, and for whom
	frames   frames   // encoded messages that sessions share
	stats    Stats    // Bytes is what is charged to Config.Budget, see settleAccount
}

// busState is what the stream knows of its subscription.
type busState struct {
	down      bool            // the bus cannot be reached
	asked     time.Time       // since when the reachable bus has been asked to confirm the subscription
	confirmed bool            // it has, and the stream has come to target
	target    domain.Position // the log's tail when the subscription began
	movedAway bool            // the bus was moved, and this node does not follow
	left      []domain.LogID  // the logs that the bus was moved from, at most the latest maxLeft
}

const maxLeft = 16

// generation orders logs by when the stream was in them.
func (s *Stream) generation(log domain.LogID) int {
	if log == s.history.Head().Log {
		return len(s.bus.left)
	}
	return slices.Index(s.bus.left, log)
}

// New returns an empty Stream of the system.
func New(system domain.System, cfg Config) *Stream {
	cfg = cfg.withDefaults()
	return &Stream{
		system: system,
		cfg:    cfg,
		ready:  make(chan struct{}),
		bus:    busState{asked: cfg.Now()},
		history: history.New(domain.NewLogID(domain.NewID()), history.Config{
			HasLog:          cfg.HasLog,
			Backlog:         cfg.Backlog != nil,
			FingerprintAge:  cfg.DedupeAge,
			FingerprintWait: cfg.FingerprintWait,
			Fingerprints:    cfg.Messages + 1, // one for each entry, and that before the oldest
		}),
		dedupe:  history.NewDedupe(cfg.DedupeSize, cfg.DedupeAge),
		index:   newIndex(),
		backlog: backlog{wake: make(chan struct{}, 1)},
		stats:   Stats{Gaps: make(map[domain.GapReason]uint64), GapsTold: make(map[domain.GapReason]uint64)},
	}
}

// System returns the system's name.
func (s *Stream) System() domain.System { return s.system }

// Reads returns the account of what is read again of the logs, and for whom.
func (s *Stream) Reads() *Reads { return s.cfg.Reads }

// Ready is closed when the bus has confirmed the subscription, and the stream
// has received what the log held then: what is published from then on arrives.
func (s *Stream) Ready() <-chan struct{} { return s.ready }

// SetBusUp records whether the bus can be reached.
func (s *Stream) SetBusUp(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if up && s.bus.down {
		s.bus.asked = s.cfg.Now()
	}
	s.bus.down = !up
	s.waitlist.lookAgain()
}

// Unconfirmed returns since when the bus has answered without confirming the
// subscription; zero if it has confirmed, or does not answer.
func (s *Stream) Unconfirmed() (since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bus.down || s.bus.confirmed || !s.history.Head().IsZero() {
		return time.Time{}
	}
	return s.bus.asked
}

// Left reports whether the bus was moved and this node does not follow.
func (s *Stream) Left() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bus.movedAway
}

// Sweep drops what is older than the window's age. Call it every few seconds:
// Step does the same, but a quiet system has no entries.
func (s *Stream) Sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames.rest()
	s.trim(s.cfg.Now())
	s.settleWaitlist()
}

// Stats returns what the Stream has counted.
func (s *Stream) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Gaps, st.GapsTold = maps.Clone(st.Gaps), maps.Clone(st.GapsTold)
	everyone := s.index.everyone.members
	st.Sessions = len(everyone)
	for _, m := range everyone {
		if !m.of.live {
			st.Behind++
		}
	}
	st.Replaying = len(s.backlog.waiting) + len(s.backlog.unlocated)
	for _, b := range s.backlog.readings {
		st.Replaying += len(b.riders)
	}
	st.BacklogBytes = int64(s.backlog.stored)
	st.Entries = s.history.Len()
	return st
}
