package faulty

import (
	"context"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A feed is a feed of the memory bus on which faults can be caused.
type feed struct {
	transport.Feed
	topic  string
	link   *Link
	ctx    context.Context
	cancel context.CancelFunc
	again  chan struct{} // holds one token if the plans have changed

	held []domain.Entry // entries that were read and are not yet due; used by Read only
}

// newFeed registers a feed. b.mu must be held.
func (l *Link) newFeed(topic string, inner transport.Feed) *feed {
	f := &feed{Feed: inner, topic: topic, link: l, again: make(chan struct{}, 1)}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	l.b.feeds[f] = struct{}{}
	return f
}

var _ transport.LastHeard = (*feed)(nil)

// LastHeard returns when the link became deaf, or the present time if it is not.
func (f *feed) LastHeard() time.Time {
	f.link.b.mu.Lock()
	defer f.link.b.mu.Unlock()
	if f.link.deaf() {
		return f.link.since
	}
	return time.Now()
}

func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.ctx, cancel)()
	for {
		if f.ctx.Err() != nil {
			return nil, errDown
		}
		if len(f.held) == 0 {
			if err := f.fetch(ctx); err != nil {
				return nil, err
			}
		}
		if err := f.link.hear(ctx); err != nil {
			return nil, err
		}
		batch, due := f.release()
		if len(batch) > 0 {
			return batch, nil
		}
		if len(f.held) > 0 {
			f.linger(ctx, time.Until(due))
		}
	}
}

// fetch reads the next entries. It takes as long as Faults say.
func (f *feed) fetch(ctx context.Context) (err error) {
	if f.held, err = f.Feed.Read(ctx); err != nil {
		return err
	}
	b := f.link.b
	b.mu.Lock()
	step, late := b.faults.Step, b.lateness()
	b.mu.Unlock()
	for i := range f.held {
		f.held[i].Time = f.held[i].Time.Add(step)
	}
	if late > 0 {
		_ = wait(ctx, late) // the entries are delivered even if ctx ends
	}
	return nil
}

// release returns the held entries that are due, without those that are dropped.
// If none is due, it returns when the next one will be.
func (f *feed) release() (batch []domain.Entry, due time.Time) {
	b := f.link.b
	b.mu.Lock()
	defer b.mu.Unlock()
	at, now := b.marks[f.topic], time.Now()
	if len(at) == 0 {
		batch, f.held = f.held, nil
		return batch, now
	}
	for len(f.held) > 0 {
		e := f.held[0]
		if m := at[e.Position]; m != nil {
			if due = m.due(f.link); due.After(now) {
				return batch, due
			}
			if m.drop(f.link) {
				f.held = f.held[1:]
				continue
			}
		}
		batch, f.held = append(batch, e), f.held[1:]
	}
	return batch, now
}

// linger waits for d, or until the plans change.
func (f *feed) linger(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.again:
	case <-ctx.Done():
	}
}

func (f *feed) nudge() {
	select {
	case f.again <- struct{}{}:
	default:
	}
}

func (f *feed) Close() error {
	f.cancel()
	f.link.b.mu.Lock()
	delete(f.link.b.feeds, f)
	f.link.b.mu.Unlock()
	return f.Feed.Close()
}
