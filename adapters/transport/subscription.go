package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/adapters/transport/sequence"
	"github.com/fanfarebus/fanfare/domain"
)

// A subscription follows one topic. Its reader goroutine takes batches from a
// feed and replaces the feed when it fails; a second goroutine hands them to
// the subscriber. The channel between the two has no buffer, so the reader is
// one batch ahead at most.
type subscription struct {
	t      *Transport
	topic  string
	age    time.Duration   // how far back to begin
	ctx    context.Context // ends with the subscriber's, or with the Transport
	cancel context.CancelFunc
	ready  chan []domain.Entry
	progress

	// What follows is the reader's alone.
	feed  Feed
	log   domain.LogID
	last  domain.Position // where to go on; "" without a log
	until domain.Position // the tail when the first feed began
	lost  *GapError       // a break of which no entry has told yet
	fed   bool            // this feed has brought something
	again backoff
	check sequence.Checker
	past  provenance.Originals
}

// A face hands a subscription's batches to its subscriber until ctx ends.
type face func(s *subscription, out chan<- *message.Message)

// subscribe follows the topic and returns when the broker has confirmed.
func (t *Transport) subscribe(ctx context.Context, topic string, age time.Duration, hand face) (<-chan *message.Message, error) {
	if err := t.enter(); err != nil {
		return nil, fmt.Errorf("transport: subscribe to %q: %w", topic, err)
	}
	defer t.running.Done()
	s := t.newSubscription(ctx, topic, age)
	if err := s.open(); err != nil {
		s.cancel()
		return nil, fmt.Errorf("transport: subscribe to %q: %w", topic, err)
	}
	out := make(chan *message.Message)
	t.follows(s)
	t.running.Go(func() {
		defer t.unfollows(s)
		defer s.cancel()
		s.run()
	})
	t.running.Go(func() {
		defer close(out)
		hand(s, out)
	})
	return out, nil
}

func (t *Transport) newSubscription(ctx context.Context, topic string, age time.Duration) *subscription {
	s := &subscription{
		t:     t,
		topic: topic,
		age:   age,
		ready: make(chan []domain.Entry),
		again: backoff{least: t.cfg.RetryMin, most: t.cfg.RetryMax},
		check: sequence.NewChecker(t.promises.TotalOrder),
	}
	s.ctx, s.cancel = t.bound(ctx)
	return s
}

// bound returns a context that ends with ctx or when the Transport is closed.
func (t *Transport) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(t.ending, cancel)
	return ctx, func() { forget(); cancel() }
}

// open makes the first feed.
func (s *subscription) open() error {
	if err := s.t.CheckTopic(s.topic); err != nil {
		return err
	}
	err := s.begin()
	switch {
	case err == nil:
		s.reach(s.last)
		return nil
	case s.t.ending.Err() != nil:
		return mark(err, domain.ErrClosed)
	case s.ctx.Err() != nil:
		return waitError(s.ctx.Err())
	}
	return notClosed(busError(err))
}

// begin makes the first feed: age back where that can be, else at the tail.
func (s *subscription) begin() error {
	if s.age <= 0 || s.t.log == nil {
		feed, err := s.t.follow(s.ctx, s.topic, "")
		if err != nil {
			return err
		}
		s.use(feed)
		s.until = s.last
		return nil
	}
	feed, tail, err := s.t.followSince(s.ctx, s.topic, time.Now().Add(-s.age))
	if err != nil {
		return err
	}
	s.use(feed)
	s.until = max(s.last, tail)
	return nil
}

// follow is the driver's, bounded.
func (t *Transport) follow(ctx context.Context, topic string, after domain.Position) (Feed, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.FollowTimeout)
	defer cancel()
	return t.driver.Follow(ctx, topic, after)
}

// followSince is the driver's, bounded; and it says where the log ends.
func (t *Transport) followSince(ctx context.Context, topic string, from time.Time) (Feed, domain.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.FollowTimeout)
	defer cancel()
	feed, err := t.log.FollowSince(ctx, topic, sane(from))
	if err != nil {
		return nil, "", err
	}
	tail, err := t.log.Tail(ctx, topic)
	if err != nil {
		t.shut(topic, feed)
		return nil, "", err
	}
	return feed, tail, nil
}

// sane is a time that every broker can be asked for. Times come from clients'
// cursors, too, and may be any.
func sane(from time.Time) time.Time {
	first, last := time.Unix(0, 0), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	switch {
	case from.Before(first):
		return first
	case from.After(last):
		return last
	}
	return from
}

func (s *subscription) use(feed Feed) {
	s.feed, s.log, s.last = feed, feed.Log(), feed.Begin()
}

// run reads until ctx ends.
func (s *subscription) run() {
	first := domain.Entry{Kind: domain.Start, Position: s.last, Tail: s.until, Log: s.log}
	if !s.pass([]domain.Entry{first}) {
		s.t.shut(s.topic, s.feed)
		return
	}
	for {
		err := s.t.drain(s.ctx, s.topic, s.feed, s.take)
		if s.ctx.Err() != nil || !s.reconnect(err) {
			return
		}
	}
}

// drain gives use what the feed brings until the feed fails, ctx ends or use
// says that it needs no more (then there is no error), and closes the feed. Not
// every driver's Read watches its context, so the end of ctx closes the feed as
// well.
func (t *Transport) drain(ctx context.Context, topic string, feed Feed, use func([]domain.Entry) (more bool)) error {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		t.shut(topic, feed)
	})
	defer func() {
		if !stop() {
			<-closed
		}
		t.shut(topic, feed)
	}()
	for {
		batch, err := feed.Read(ctx)
		if len(batch) > 0 && !use(batch) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take passes on a batch, and says whether ctx lasted.
func (s *subscription) take(batch []domain.Entry) (more bool) {
	s.fed = true
	s.again.reset()
	before := s.last
	s.last = batch[len(batch)-1].Position
	s.t.counts.batches.Add(1)
	s.t.counts.entries.Add(uint64(len(batch)))
	if s.t.promises.Log {
		batch = s.past.Reveal(batch, s.log, before)
	}
	if s.t.stamps != nil {
		checked := s.check.Check(batch, s.log)
		s.t.counts.late.Add(uint64(checked.Late))
		s.t.counts.holes.Add(uint64(checked.Holes))
		s.t.counts.countBreak(domain.Lossy, checked.Holes)
		batch = checked.Kept
	}
	return len(batch) == 0 || s.pass(batch)
}

// reconnect gets a new feed after the old one failed with err, and tells of a
// break if there was one. It says whether ctx lasted.
func (s *subscription) reconnect(err error) bool {
	s.fall(s.feed)
	log := s.t.cfg.Logger.With("topic", s.topic)
	if !errors.As(err, &s.lost) {
		s.t.counts.interruptions.Add(1)
		log.Warn("the subscription was interrupted", "after", hexPosition(s.last), "error", err)
	}
	if !s.retry(log) {
		return false
	}
	s.rise()
	if s.lost == nil {
		log.Info("the subscription goes on where it stopped", "after", hexPosition(s.last))
		return true
	}
	log.Warn("messages may be lost: the subscription goes on behind a gap",
		"reason", string(s.lost.Reason), "detail", s.lost.Detail, "after", hexPosition(s.last))
	return s.announce()
}

// retry opens the next feed, as often as it takes.
func (s *subscription) retry(log *slog.Logger) bool {
	// A break that a feed found after it had brought something needs no pause:
	// the broker is there.
	eager := s.lost != nil && s.fed
	for s.fed = false; ; eager = false {
		if !eager && !s.again.pause(s.ctx) {
			return false
		}
		err := s.reopen()
		if err == nil || s.ctx.Err() != nil {
			return err == nil
		}
		s.t.tellRetry(log, err)
	}
}

// tellRetry says why subscribing again failed. That the bus is down is told once,
// by Run; a single topic that cannot be followed, now and then.
func (t *Transport) tellRetry(log *slog.Logger, err error) {
	if !t.Up() {
		log.Debug("subscribing again failed", "error", err)
		return
	}
	t.retries.warn(log, "nobody hears this topic: subscribing again failed; trying again", "error", err)
}

// announce puts the break before what the new feed will bring.
func (s *subscription) announce() bool {
	gap := domain.Entry{Kind: domain.Gap, Position: s.last, Log: s.log, Reason: s.lost.Reason}
	s.lost = nil
	s.check.AfterGap()
	s.t.counts.countBreak(gap.Reason, 1)
	if !s.pass([]domain.Entry{gap}) {
		s.t.shut(s.topic, s.feed)
		return false
	}
	return true
}

// reopen makes the next feed: where the last one stopped if the driver proves
// that, else at the tail, and then lost says why.
func (s *subscription) reopen() error {
	if s.lost == nil && !(s.t.promises.Log && s.last != "") {
		s.lost = &GapError{Reason: domain.Lossy, Detail: "the subscription was interrupted"}
	}
	if s.lost == nil {
		feed, err := s.t.follow(s.ctx, s.topic, s.last)
		switch {
		case err == nil && feed.Log() == s.log:
			s.feed = feed
			return nil
		case err == nil:
			s.t.shut(s.topic, feed)
			s.lost = &GapError{Reason: domain.UnknownCursor, Detail: "the topic has become another log"}
		case !errors.As(err, &s.lost):
			return err
		}
	}
	feed, err := s.t.follow(s.ctx, s.topic, "")
	if err != nil {
		return err
	}
	s.use(feed)
	return nil
}

// pass gives a batch to the deliverer, and says whether ctx lasted.
func (s *subscription) pass(batch []domain.Entry) bool {
	select {
	case s.ready <- batch:
		return true
	case <-s.ctx.Done():
		return false
	}
}

func (t *Transport) shut(topic string, feed Feed) {
	if err := feed.Close(); err != nil {
		t.cfg.Logger.Debug("closing a feed failed", "topic", topic, "error", err)
	}
}
