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
const fetchWait = time.Second

// A feed reads one topic forward. What waits in it is what one fetch brought.
type feed struct {
	driver    *Driver
	fetcher   *fetcher
	client    *kgo.Client // in's
	begin     int64
	next      int64         // to fetch from
	ready     []*kgo.Record // fetched and not handed out
	lastHeard time.Time
	clock     clock
	err       error // why the feed is over

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	once   sync.Once
}

func newFeed(d *Driver, t topic, begin int64) (*feed, error) {
	f := &feed{driver: d, begin: begin, next: begin, lastHeard: time.Now()}
	var err error
	if f.fetcher, f.client, err = d.dial(t); err != nil {
		return nil, err
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f, nil
}

func (f *feed) Log() domain.LogID      { return f.fetcher.topic.log() }
func (f *feed) Begin() domain.Position { return position(f.begin) }
func (f *feed) LastHeard() time.Time   { return f.lastHeard }

// Close ends a Read that is under way.
func (f *feed) Close() error {
	f.once.Do(func() {
		f.cancel()
		f.client.Close()
	})
	return nil
}

// Read returns what follows the last record returned.
func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	if f.ctx.Err() != nil {
		return nil, domain.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.ctx, cancel)()
	f.lastHeard = time.Now()
	for len(f.ready) == 0 {
		if f.err == nil {
			f.err = f.fetch(ctx, fetchWait)
		}
		if f.err != nil {
			return nil, f.finalError()
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

// finalError says why the feed is finalError.
func (f *feed) finalError() error {
	if f.ctx.Err() != nil {
		return domain.ErrClosed
	}
	if lost := (*transport.GapError)(nil); errors.As(f.err, &lost) {
		return f.err
	}
	return fmt.Errorf("kafka: read %s: %w", f.fetcher.topic.name, classify(f.err))
}

// fetch fetches once, and finds out what it means if that is refused.
func (f *feed) fetch(ctx context.Context, wait time.Duration) error {
	got, err := f.fetcher.fetch(ctx, f.next, wait)
	switch {
	case err == nil:
	case errors.Is(err, kerr.OffsetOutOfRange):
		return f.driver.outOfRange(ctx, f.fetcher.topic, f.next, err)
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.InconsistentTopicID):
		return f.driver.topicChanged(ctx, f.fetcher.topic, err)
	default:
		return err
	}
	f.lastHeard = time.Now()
	f.clock.setTimes(got, f.lastHeard)
	f.driver.progress.note(f.fetcher.topic, f.next, got)
	f.ready, f.next = got.records, got.next
	return nil
}

// outOfRange says what it means that the log holds no place at an offset.
func (d *Driver) outOfRange(ctx context.Context, t topic, at int64, cause error) error {
	first, err := d.offset(ctx, t, earliestOffset)
	if err != nil {
		return errors.Join(cause, err)
	}
	if at < first {
		return gapError(domain.Trimmed, "the topic was trimmed: it begins at offset %d, after %d", first, at)
	}
	end, err := d.offset(ctx, t, latestOffset)
	if err != nil {
		return errors.Join(cause, err)
	}
	if at > end {
		return gapError(domain.UnknownCursor, "the topic ends at offset %d, before %d", end, at)
	}
	return cause
}

// topicChanged says what it means that a broker does not know a topic.
func (d *Driver) topicChanged(ctx context.Context, t topic, cause error) error {
	d.forget(t.name)
	now, err := d.describe(ctx, t.name)
	switch {
	case errors.Is(err, errMissing):
		return gapError(domain.UnknownCursor, "the topic is gone, and with it what followed")
	case err == nil && now.id != t.id:
		return gapError(domain.UnknownCursor, "the topic was created anew")
	}
	return cause
}
