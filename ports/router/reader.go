package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// What a [ReaderConfig] has where nothing else is said.
const (
	DefaultReadTimeout   = 10 * time.Second
	DefaultSearchTimeout = 2 * time.Second
	DefaultPages         = 64
)

// pagesEach is how many pages are read at a time for one asker.
const pagesEach = 4

// ErrReads says that somebody has too much read, or too much at a time. It is a
// [domain.ErrLimit].
var ErrReads = fmt.Errorf("too much is read for you: %w", domain.ErrLimit)

// A Rewinder finds places in a topic's log from its end. It is safe for concurrent use.
type Rewinder interface {
	// Back returns the position before the n-th newest entry of those at or before a
	// location: a [Replayer] that reads on from there yields these entries. If the log
	// holds fewer, it is the position before the oldest one, and start is true. Where the
	// log still has all that it ever had, each byte of that position is 0.
	Back(
		ctx context.Context, topic string, upTo domain.Location, n int,
	) (at domain.Position, start bool, err error)
}

// ReaderConfig tunes a [Reader]. The zero ReaderConfig reads windows alone.
type ReaderConfig struct {
	Rewinder  Rewinder      // with the Router's Replayer, it searches logs; nil without a log
	MaxScan   int           // most entries of a log that are searched at once; default stream.DefaultMaxScan
	DedupeAge time.Duration // how long a repetition is recognised; default stream.DefaultDedupeAge
	// ReadTimeout bounds how long it takes to read a page; default DefaultReadTimeout.
	ReadTimeout time.Duration
	// SearchTimeout bounds how long a session that begins waits until it is known where
	// its newest messages begin; default DefaultSearchTimeout.
	SearchTimeout time.Duration
	// Pages is how many pages are read at a time; default DefaultPages. As many sessions
	// may wait for a search.
	Pages int
}

// A Reader says what a system's messages were: from the window of this node and, where
// the bus keeps a log, from the log. It reads as sessions resume: at most a few logs at
// a time, in turns, and fairly between those who ask. It is safe for concurrent use. The
// [Router] must be running.
type Reader struct {
	router    *Router
	hub       *stream.Hub
	cfg       ReaderConfig
	searching chan struct{} // holds a token for each search of a log

	mu    sync.Mutex
	pages map[stream.Asker]int // that are being read; guarded by mu
	all   int                  // of all askers; guarded by mu
}

// NewReader returns a Reader of the streams of hub, which r feeds.
func NewReader(r *Router, hub *stream.Hub, cfg ReaderConfig) *Reader {
	defaults.Set(&cfg.MaxScan, stream.DefaultMaxScan)
	defaults.Set(&cfg.DedupeAge, stream.DefaultDedupeAge)
	defaults.Set(&cfg.ReadTimeout, DefaultReadTimeout)
	defaults.Set(&cfg.SearchTimeout, DefaultSearchTimeout)
	defaults.Set(&cfg.Pages, DefaultPages)
	return &Reader{
		router: r, hub: hub, cfg: cfg, searching: make(chan struct{}, cfg.Pages),
		pages: make(map[stream.Asker]int),
	}
}

// Cursor returns the cursor up to which this node has seen everything of a system. What
// is published after this call began follows it. The user is whom the stream is opened
// for; "" for nobody in particular.
//
// Errors: those of [stream.Hub.Acquire], and [domain.ErrBusDown] while the bus has not
// confirmed.
func (r *Reader) Cursor(ctx context.Context, system domain.System, user string) (domain.Cursor, error) {
	lease, err := r.hub.Acquire(ctx, user, system)
	if err != nil {
		return domain.Cursor{}, err
	}
	defer lease.Release()
	at, ok := lease.Cursor()
	if !ok {
		return domain.Cursor{}, notConfirmed(system)
	}
	return at, nil
}

func notConfirmed(system domain.System) error {
	return fmt.Errorf("system %s: the bus has not confirmed yet: %w", system, domain.ErrBusDown)
}

// Newest returns the cursor after which what a session wants to have had comes, for its
// targets. The reason is "" if all of it comes, and otherwise says why some of it does
// not, or may not. It waits at most [ReaderConfig].SearchTimeout. For an asker who has too
// much read it looks at the window alone.
func (r *Reader) Newest(
	ctx context.Context, s *stream.Stream, asker stream.Asker, targets []domain.Target, last stream.Last,
) (domain.Cursor, domain.GapReason) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.SearchTimeout)
	defer cancel()
	since := time.Time{}
	var start stream.Start
	if last.Age > 0 {
		since = time.Now().Add(-last.Age)
		start = s.NewestSince(since)
	} else {
		start = s.Newest(targets, domain.Cursor{}, last.Count)
	}
	switch {
	case start.At.IsZero():
		return domain.Cursor{}, domain.Lossy // as the session is told when the bus has confirmed
	case start.Whole:
		return start.At, ""
	case start.Older.IsZero():
		return start.At, start.Reason
	case s.Reads().Over(asker):
		return start.At, domain.TooFar
	}
	q := &search{
		r: r, ctx: ctx, stream: s, asker: asker, targets: targets,
		want: last.Count - start.Count, since: since,
	}
	found, err := q.run(start)
	if err != nil {
		r.router.cfg.Logger.Log(ctx, slog.LevelInfo, "the log was not searched for a session's newest messages",
			"system", s.System().String(), "error", err)
		return start.At, domain.TooFar
	}
	return found.At, found.Reason
}

// enter counts a page that is to be read, or returns why it is not.
func (r *Reader) enter(asker stream.Asker) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.pages[asker] >= pagesEach:
		return fmt.Errorf("%w: at most %d pages at a time", ErrReads, pagesEach)
	case r.all >= r.cfg.Pages:
		return fmt.Errorf("%w: at most %d pages are read at a time", domain.ErrLimit, r.cfg.Pages)
	}
	r.pages[asker]++
	r.all++
	return nil
}

func (r *Reader) leave(asker stream.Asker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.pages[asker]--; r.pages[asker] == 0 {
		delete(r.pages, asker)
	}
}

// gapOf returns the reason of an error that says that a log does not continue.
func gapOf(err error) (domain.GapReason, bool) {
	var gap *domain.GapError
	if errors.As(err, &gap) {
		return gap.Reason, true
	}
	return "", false
}
