package stream

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Config bounds a Stream. The zero Config is good for a test.
type Config struct {
	Messages   int           // most entries in the window; default 100,000
	Age        time.Duration // oldest entry in the window; default 10 min
	Budget     *Budget       // bytes, shared by the streams of a node; default 64 MiB of its own
	DedupeAge  time.Duration // how long a repetition is recognised; default 2 min
	DedupeSize int           // most ids remembered for that; default 262,144
	AheadWait  time.Duration // how long a cursor ahead of the stream is believed while the bus is up; default 10 s
	// LandmarkWait is how long after its time a landmark is waited for that a
	// session has from another node; default 1 s.
	LandmarkWait time.Duration
	// Past, if set, lets sessions resume from the log what the window no longer
	// has: it bounds in bytes what is read again, for all streams together. Who
	// feeds the stream must serve NextBackfill then.
	Past     *Budget
	MaxScan  int              // most entries read again at a time; default 100,000
	Reads    *Reads           // for whom logs are read again, shared by the streams of a node; default: its own
	KeepPast time.Duration    // how long they are kept for sessions to take; default 30 s
	HasLog   bool             // whether entries come with positions of a log
	Now      func() time.Time // default time.Now
}

func (c Config) withDefaults() Config {
	if c.Messages <= 0 {
		c.Messages = 100_000
	}
	if c.Age <= 0 {
		c.Age = 10 * time.Minute
	}
	if c.Budget == nil {
		c.Budget = NewBudget(64 << 20)
	}
	if c.DedupeAge <= 0 {
		c.DedupeAge = 2 * time.Minute
	}
	if c.DedupeSize <= 0 {
		c.DedupeSize = 1 << 18
	}
	if c.AheadWait <= 0 {
		c.AheadWait = 10 * time.Second
	}
	if c.LandmarkWait <= 0 {
		c.LandmarkWait = time.Second
	}
	if c.MaxScan <= 0 {
		c.MaxScan = 100_000
	}
	if c.KeepPast <= 0 {
		c.KeepPast = 30 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Reads == nil {
		c.Reads = NewReads(c.MaxScan, c.Now)
	}
	return c
}

// A Budget is a number of bytes that the windows of a node share. When it is
// used up, a stream that adds or is swept trims its own oldest entries, down to
// a small share of 1/1024: so a busy system leaves the quiet ones something,
// and with a thousand of them no more than twice the budget is used.
type Budget struct {
	most int64
	used atomic.Int64

	mu      sync.Mutex
	holders map[*Stream]struct{} // streams that keep what was read again for a while; guarded by mu
}

// NewBudget returns a Budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{most: bytes} }

// Used returns how many bytes are taken.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) add(n int)     { b.used.Add(int64(n)) }
func (b *Budget) farOver() bool { return b.used.Load() > 2*b.most }
func (b *Budget) over(mine int) bool {
	return b.overWith(mine, 0)
}

// overWith is over if so much more were taken.
func (b *Budget) overWith(mine, more int) bool {
	return b.used.Load()+int64(more) > b.most && int64(mine+more) > b.most/1024
}

// hold notes whether a stream keeps something that it can give back.
func (b *Budget) hold(s *Stream, keeps bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !keeps {
		delete(b.holders, s)
		return
	}
	if b.holders == nil {
		b.holders = make(map[*Stream]struct{})
	}
	b.holders[s] = struct{}{}
}

// reclaim asks the other streams for what they keep, on behalf of somebody for
// whom so much was read. Call it without locks.
func (b *Budget) reclaim(mine *Stream, weight float64) {
	b.mu.Lock()
	others := slices.Collect(maps.Keys(b.holders))
	b.mu.Unlock()
	for _, s := range others {
		if s != mine {
			s.giveBack(weight)
		}
	}
}

// Stats count what a Stream did since it was made. Duplicates, Conflicts and
// the rest are numbers of messages, except where said.
type Stats struct {
	Delivered  uint64                      // entered the window
	Offered    uint64                      // frames taken by an outbox
	Matched    uint64                      // messages that had at least one session here
	Duplicates uint64                      // same id and content again: dropped
	Conflicts  uint64                      // same id, other content: delivered
	Forgotten  uint64                      // ids forgotten before DedupeAge, for want of room
	Expired    uint64                      // arrived past their ttl: not delivered
	Skipped    uint64                      // entries that were no message
	Breaks     map[domain.GapReason]uint64 // interruptions that became gaps
	Told       map[domain.GapReason]uint64 // gap notices given to sessions
	FellBack   uint64                      // times a session's outbox was full
	Resumed    uint64                      // attaches that went on at their cursor
	Backfills  uint64                      // times the log was read again
	Scanned    uint64                      // entries read again
	Sessions   int                         // attached now
	Behind     int                         // of these, catching up
	Replaying  int                         // sessions that wait for the log to be read again
	Entries    int                         // in the window
	Bytes      int64                       // of the window, its index and what dedupe remembers
}
