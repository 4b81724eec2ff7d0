package transport_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A fakeLog is a driver with a log in which the nth record, at position n, has the
// time second(n).
type fakeLog struct {
	*fakeDriver

	mu      sync.Mutex
	entries []domain.Entry
	more    chan struct{} // closed when entries are added
	tails   int           // how often the tail was asked for
	since   error         // what FollowSince fails with
	from    time.Time     // what FollowSince was asked for last
	lost    error         // what Follow and reads fail with
	refuse  error         // what Follow of a position fails with
	silent  bool          // FollowSince's feeds bring nothing
	hidden  int           // entries before this one are not to be read any more
}

var epoch = time.Unix(1_000_000, 0)

func second(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

// newLog returns a log with the records 1 to n.
func newLog(n int) *fakeLog {
	l := &fakeLog{more: make(chan struct{})}
	l.fakeDriver = &fakeDriver{guarantees: logged, follow: l.followAfter}
	l.add(n)
	return l
}

func (l *fakeLog) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	have := len(l.entries)
	for i, e := range records(have+1, have+n) {
		e.Time = second(have + 1 + i)
		l.entries = append(l.entries, e)
	}
	close(l.more)
	l.more = make(chan struct{})
}

// set changes the log under its lock, and wakes readers.
func (l *fakeLog) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.more)
	l.more = make(chan struct{})
}

func (l *fakeLog) followAfter(_ context.Context, _ string, after domain.Position) (transport.Feed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if after == "" {
		after = position(len(l.entries))
	} else if err := errors.Join(l.lost, l.refuse); err != nil {
		return nil, err
	}
	return &logFeed{fakeFeed: feed(1, after), l: l}, nil
}

func (l *fakeLog) FollowSince(_ context.Context, _ string, t time.Time) (transport.Feed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.from = t
	if l.since != nil {
		return nil, l.since
	}
	n := slices.IndexFunc(l.entries, func(e domain.Entry) bool { return !e.Time.Before(t) })
	if n < 0 {
		n = len(l.entries)
	}
	return &logFeed{fakeFeed: feed(1, position(n)), l: l, silent: l.silent}, nil
}

func (l *fakeLog) Tail(context.Context, string) (domain.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tails++
	return position(len(l.entries)), nil
}

func (l *fakeLog) asks() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tails
}

// A logFeed reads a fakeLog, three entries at a time.
type logFeed struct {
	*fakeFeed
	l      *fakeLog
	silent bool
}

func (f *logFeed) Read(context.Context) ([]domain.Entry, error) {
	for {
		f.l.mu.Lock()
		more, lost := f.l.more, f.l.lost
		batch := f.l.after(f.begin)
		f.l.mu.Unlock()
		switch {
		case lost != nil:
			return nil, lost
		case len(batch) > 0 && !f.silent:
			f.begin = batch[len(batch)-1].Position
			return batch, nil
		}
		select {
		case <-more:
		case <-f.closed:
			return nil, domain.ErrClosed
		}
	}
}

func (l *fakeLog) after(at domain.Position) []domain.Entry {
	var batch []domain.Entry
	for i, e := range l.entries {
		if e.Position > at && i >= l.hidden && len(batch) < 3 {
			batch = append(batch, e)
		}
	}
	return batch
}
