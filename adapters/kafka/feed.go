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

// fetchWait is how long the leader waits for records before it answers that there are
// none. A feed of a quiet topic hears from the leader that often. Together with the reply
// timeout (2 s) it bounds how long a dead connection goes unnoticed to well under 5 s.
const fetchWait = time.Second

// A feed reads one topic forward. It holds no more than what one fetch brought.
type feed struct {
	driver  *Driver
	fetcher *fetcher
	client  *kgo.Client // the fetcher's, which Close closes
	begin   int64

	// The following belong to the goroutine that reads.
	next      int64         // the offset to fetch from
	ready     []*kgo.Record // fetched and not handed out
	lastHeard time.Time     // see LastHeard
	times     arrivalTimes
	err       error // why the feed is over; nil before

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	once   sync.Once // for Close
}

func newFeed(d *Driver, t topic, begin int64) (*feed, error) {
	f := &feed{driver: d, begin: begin, next: begin, lastHeard: time.Now()}
	var err error
	if f.fetcher, f.client, err = d.dedicatedFetcher(t); err != nil {
		return nil, err
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f, nil
}

func (f *feed) Log() domain.LogID      { return f.fetcher.topic.log }
func (f *feed) Begin() domain.Position { return position(f.begin) }

// LastHeard is when the last Read began, or the leader last answered if that is later.
func (f *feed) LastHeard() time.Time { return f.lastHeard }

// Close ends a Read that is under way.
func (f *feed) Close() error {
	f.once.Do(func() {
		f.cancel()
		f.client.Close()
	})
	return nil
}

// Read returns what follows the last record that it returned.
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

// finalError says why the feed is over.
func (f *feed) finalError() error {
	if f.ctx.Err() != nil {
		return domain.ErrClosed
	}
	if gap := (*transport.GapError)(nil); errors.As(f.err, &gap) {
		return f.err
	}
	return fmt.Errorf("kafka: read %s: %w", f.fetcher.topic.name, classify(f.err))
}

// fetch fetches once. If the leader refuses, it finds out whether that means a gap.
func (f *feed) fetch(ctx context.Context, wait time.Duration) error {
	got, err := f.fetcher.fetch(ctx, f.next, wait)
	switch {
	case err == nil:
	case errors.Is(err, kerr.OffsetOutOfRange):
		return f.driver.outOfRange(ctx, f.fetcher.topic, f.next, err)
	case isUnknownTopic(err), errors.Is(err, kerr.InconsistentTopicID):
		return f.driver.topicChanged(ctx, f.fetcher.topic, err)
	default:
		return err
	}
	f.lastHeard = time.Now()
	f.times.set(got, f.lastHeard)
	f.driver.progress.note(f.fetcher.topic, f.next, got)
	f.ready, f.next = got.records, got.next
	return nil
}

// outOfRange returns the gap that it means when the log does not have an offset, or cause
// if the log has the offset by now.
func (d *Driver) outOfRange(ctx context.Context, t topic, offset int64, cause error) error {
	first, err := d.offset(ctx, t, earliestOffset)
	if err != nil {
		return errors.Join(cause, err)
	}
	if offset < first {
		return gapError(domain.Trimmed, "the topic was trimmed: it begins at offset %d, after %d",
			first, offset)
	}
	end, err := d.offset(ctx, t, latestOffset)
	if err != nil {
		return errors.Join(cause, err)
	}
	if offset > end {
		return gapError(domain.UnknownCursor, "the topic ends at offset %d, before %d", end, offset)
	}
	return cause
}

// topicChanged returns the gap that it means when a broker does not know a topic any more,
// or cause if the topic is still there.
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
