package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// block is how long the leader waits for records before it answers that there
// are none. So often is a quiet topic looked at; and with the reply timeout
// (2 s) behind it, a dead connection is noticed well within 5 s.
const block = time.Second

// A feed reads one topic forward. What waits in it is what one fetch brought.
type feed struct {
	d     *Driver
	in    *fetcher
	conn  *kgo.Client // in's
	begin int64
	next  int64         // to fetch from
	ready []*kgo.Record // fetched and not handed out
	heard time.Time
	clock clock
	err   error // why the feed is over

	closing context.Context // ends with Close
	end     context.CancelFunc
	once    sync.Once
}

func newFeed(d *Driver, t topic, begin int64) (*feed, error) {
	f := &feed{d: d, begin: begin, next: begin, heard: time.Now()}
	var err error
	if f.in, f.conn, err = d.dial(t); err != nil {
		return nil, err
	}
	f.closing, f.end = context.WithCancel(context.Background())
	return f, nil
}

func (f *feed) Log() domain.LogID      { return f.in.topic.log() }
func (f *feed) Begin() domain.Position { return position(f.begin) }
func (f *feed) LastHeard() time.Time   { return f.heard }

// Close ends a Read that is under way.
func (f *feed) Close() error {
	f.once.Do(func() {
		f.end()
		f.conn.Close()
	})
	return nil
}

// Read returns what follows the last record returned.
func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	if f.closing.Err() != nil {
		return nil, domain.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.closing, cancel)()
	f.heard = time.Now()
	for len(f.ready) == 0 {
		if f.err == nil {
			f.err = f.fetch(ctx, block)
		}
		if f.err != nil {
			return nil, f.over()
		}
	}
	n := min(len(f.ready), transport.BatchSize)
	batch := make([]domain.Entry, n)
	for i, r := range f.ready[:n] {
		batch[i] = decode(r)
	}
	clear(f.ready[:n])
	f.ready = f.ready[n:]
	return batch, nil
}

// over says why the feed is over.
func (f *feed) over() error {
	if f.closing.Err() != nil {
		return domain.ErrClosed
	}
	if lost := (*transport.GapError)(nil); errors.As(f.err, &lost) {
		return f.err
	}
	return fmt.Errorf("kafka: read %s: %w", f.in.topic.name, classify(f.err))
}

// fetch fetches once, and finds out what it means if that is refused.
func (f *feed) fetch(ctx context.Context, wait time.Duration) error {
	got, err := f.in.fetch(ctx, f.next, wait)
	switch {
	case err == nil:
	case errors.Is(err, kerr.OffsetOutOfRange):
		return f.d.outOfRange(ctx, f.in.topic, f.next, err)
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.InconsistentTopicID):
		return f.d.another(ctx, f.in.topic, err)
	default:
		return err
	}
	f.heard = time.Now()
	f.clock.date(got, f.heard)
	f.d.places.reach(f.in.topic, f.next, got)
	f.ready, f.next = got.records, got.next
	return nil
}

// outOfRange says what it means that the log holds no place at an offset.
func (d *Driver) outOfRange(ctx context.Context, t topic, at int64, cause error) error {
	first, err := d.offset(ctx, t, earliest)
	if err != nil {
		return errors.Join(cause, err)
	}
	if at < first {
		return lost(domain.Trimmed, "the topic was trimmed: it begins at offset %d, after %d", first, at)
	}
	end, err := d.offset(ctx, t, latest)
	if err != nil {
		return errors.Join(cause, err)
	}
	if at > end {
		return lost(domain.UnknownCursor, "the topic ends at offset %d, before %d", end, at)
	}
	return cause
}

// another says what it means that a broker does not know a topic.
func (d *Driver) another(ctx context.Context, t topic, cause error) error {
	d.forget(t.name)
	now, err := d.describe(ctx, t.name)
	switch {
	case errors.Is(err, errMissing):
		return lost(domain.UnknownCursor, "the topic is gone, and with it what followed")
	case err == nil && now.id != t.id:
		return lost(domain.UnknownCursor, "the topic was created anew")
	}
	return cause
}
