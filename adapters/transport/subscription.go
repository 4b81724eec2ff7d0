package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/adapters/transport/sequence"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// A subscription follows one topic. Its reader goroutine takes batches from a
// feed, replaces the feed when it fails, and hands the batches out to the
// subscriber. While a large batch is handed out, the next one is read: then the
// reader is one batch ahead. It does not do so with a small batch, because there
// the change to another goroutine would cost more than it saves.
type subscription struct {
	t      *Transport
	topic  string
	age    time.Duration   // how far back to begin
	ctx    context.Context // ends with the subscriber's, or with the Transport
	cancel context.CancelFunc
	out    chan *message.Message
	hand   handOut
	deliveryState

	// The fields below belong to the reader goroutine, from subscribe on.

	handing chan bool // takes the result of hand while it runs in a goroutine of its own; nil otherwise
	feed    Feed
	log     domain.LogID
	last    domain.Position // of the last entry that was read; "" without a log
	tail    domain.Position // where the log ended when the first feed began
	gap     *GapError       // why the next feed does not continue the last one; nil once passed on
	brought bool            // the present feed has brought something
	backoff pause.Backoff
	numbers *sequence.Checker
	copies  provenance.Reader
}

// A handOut hands a batch to a subscription's subscriber until all of it is acked.
// It reports whether ctx is still alive.
type handOut func(s *subscription, batch []domain.Entry) bool

// largeBatch is the least number of entries whose batch is handed out by another
// goroutine than the one that reads.
const largeBatch = 32

// subscribe follows the topic and returns when the broker has confirmed.
func (t *Transport) subscribe(
	ctx context.Context, topic string, age time.Duration, hand handOut,
) (<-chan *message.Message, error) {
	if err := t.enter(); err != nil {
		return nil, fmt.Errorf("transport: subscribe to %q: %w", topic, err)
	}
	defer t.running.Done()
	s := t.newSubscription(ctx, topic, age)
	s.hand = hand
	if err := s.open(); err != nil {
		s.cancel()
		return nil, fmt.Errorf("transport: subscribe to %q: %w", topic, err)
	}
	t.addSubscription(s)
	t.running.Go(func() {
		defer close(s.out)
		defer t.removeSubscription(s)
		defer s.handedOut()
		defer s.cancel()
		s.run()
	})
	return s.out, nil
}

func (t *Transport) newSubscription(
	ctx context.Context, topic string, age time.Duration,
) *subscription {
	s := &subscription{
		t:       t,
		topic:   topic,
		age:     age,
		out:     make(chan *message.Message),
		backoff: pause.Backoff{Min: t.cfg.RetryMin, Max: t.cfg.RetryMax},
		numbers: sequence.NewChecker(t.guarantees.TotalOrder),
	}
	s.ctx, s.cancel = t.bound(ctx)
	return s
}

// addSubscription makes a subscription count for Deaf, and has its topic trimmed,
// until removeSubscription.
func (t *Transport) addSubscription(s *subscription) {
	t.mu.Lock()
	t.subs[s] = struct{}{}
	t.mu.Unlock()
	if t.trimming.driver != nil {
		t.trimming.follow(s.topic)
		t.startTrimming()
	}
}

func (t *Transport) removeSubscription(s *subscription) {
	t.mu.Lock()
	delete(t.subs, s)
	t.mu.Unlock()
	if t.trimming.driver != nil {
		t.trimming.unfollow(s.topic)
	}
}

// subscriptions returns the subscriptions there are.
func (t *Transport) subscriptions() []*subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.subs))
}

// open opens the first feed. Its error is fit for the subscriber.
func (s *subscription) open() error {
	if err := s.t.CheckTopic(s.topic); err != nil {
		return err
	}
	err := s.openFirst()
	switch {
	case err == nil:
		s.setDelivered(s.last)
		return nil
	case s.t.closing.Err() != nil:
		return wrapSentinel(err, domain.ErrClosed)
	case s.ctx.Err() != nil:
		return waitError(s.ctx.Err())
	}
	return notClosed(busError(err))
}

// openFirst opens the first feed: age back if there is a log, else at the tail.
func (s *subscription) openFirst() error {
	if s.age <= 0 || s.t.log == nil {
		feed, err := s.t.follow(s.ctx, s.topic, "")
		if err != nil {
			return err
		}
		s.adopt(feed)
		s.tail = s.last
		return nil
	}
	feed, tail, err := s.t.followSince(s.ctx, s.topic, time.Now().Add(-s.age))
	if err != nil {
		return err
	}
	s.adopt(feed)
	s.tail = max(s.last, tail)
	return nil
}

// adopt begins at the beginning of a feed.
func (s *subscription) adopt(feed Feed) {
	s.feed, s.log, s.last = feed, feed.Log(), feed.Begin()
}

// run passes on a Start and then what the feeds bring, until ctx ends.
func (s *subscription) run() {
	first := domain.Entry{Kind: domain.Start, Position: s.last, Tail: s.tail, Log: s.log}
	if !s.pass([]domain.Entry{first}) {
		s.t.closeFeed(s.topic, s.feed)
		return
	}
	for {
		err := s.t.readAll(s.ctx, s.topic, s.feed, s.accept)
		if s.ctx.Err() != nil || !s.reconnect(err) {
			return
		}
	}
}

// accept passes a batch of the feed on, and reports whether ctx is still alive.
func (s *subscription) accept(batch []domain.Entry) (more bool) {
	read := time.Now()
	for i := range batch {
		batch[i].Read = read
	}
	s.brought = true
	s.backoff.Reset()
	before := s.last
	s.last = batch[len(batch)-1].Position
	s.t.counts.batches.Add(1)
	s.t.counts.entries.Add(uint64(len(batch)))
	if s.t.guarantees.Log {
		batch = s.copies.Read(batch, s.log, before)
	}
	if s.t.numberer != nil {
		checked := s.numbers.Check(batch, s.log)
		s.t.counts.late.Add(uint64(checked.Late))
		s.t.counts.missing.Add(uint64(checked.Missing))
		s.t.counts.countGaps(domain.Lossy, checked.Missing)
		batch = checked.Kept
	}
	return len(batch) == 0 || s.pass(batch)
}

// reconnect gets a new feed after the old one failed with err, and passes on a
// Gap if the new one does not continue the old one. It reports whether ctx is
// still alive.
func (s *subscription) reconnect(err error) bool {
	s.feedLost(s.feed)
	log := s.t.cfg.Logger.With("topic", s.topic)
	if !errors.As(err, &s.gap) {
		s.t.counts.interruptions.Add(1)
		log.Warn("the subscription was interrupted", "after", hexPosition(s.last), "error", err)
	}
	if !s.reopenUntilDone(log) {
		return false
	}
	s.feedRestored()
	if s.gap == nil {
		log.Info("the subscription goes on where it stopped", "after", hexPosition(s.last))
		return true
	}
	log.Warn("messages may be lost: the subscription goes on behind a gap",
		"reason", string(s.gap.Reason), "detail", s.gap.Detail, "after", hexPosition(s.last))
	return s.passGap()
}

// reopenUntilDone opens the next feed, as often as it takes. It reports whether
// ctx is still alive.
func (s *subscription) reopenUntilDone(log *slog.Logger) bool {
	// After a gap that a feed found when it had brought something no pause is
	// needed: the broker is there.
	eager := s.gap != nil && s.brought
	for s.brought = false; ; eager = false {
		if !eager && !s.backoff.Wait(s.ctx) {
			return false
		}
		err := s.reopen()
		if err == nil || s.ctx.Err() != nil {
			return err == nil
		}
		s.t.logRetry(log, err)
	}
}

// logRetry logs why subscribing again failed. Run logs that the bus is down, once;
// here a single topic that cannot be followed is logged now and then.
func (t *Transport) logRetry(log *slog.Logger, err error) {
	if !t.Up() {
		log.Debug("subscribing again failed", "error", err)
		return
	}
	t.followFailures.warn(log,
		"nobody hears this topic: subscribing again failed; trying again", "error", err)
}

// passGap passes on the Gap before what the new feed will bring. It reports whether
// ctx is still alive.
func (s *subscription) passGap() bool {
	gap := domain.Entry{Kind: domain.Gap, Position: s.last, Log: s.log, Reason: s.gap.Reason}
	s.gap = nil
	s.numbers.AfterGap()
	s.t.counts.countGaps(gap.Reason, 1)
	if !s.pass([]domain.Entry{gap}) {
		s.t.closeFeed(s.topic, s.feed)
		return false
	}
	return true
}

// reopen opens the next feed: where the last one stopped if the driver proves
// that, else at the tail; then gap says why.
func (s *subscription) reopen() error {
	if s.gap == nil && !(s.t.guarantees.Log && s.last != "") {
		s.gap = &GapError{Reason: domain.Lossy, Detail: "the subscription was interrupted"}
	}
	if s.gap == nil {
		feed, err := s.t.follow(s.ctx, s.topic, s.last)
		switch {
		case err == nil && feed.Log() == s.log:
			s.feed = feed
			return nil
		case err == nil:
			s.t.closeFeed(s.topic, feed)
			s.gap = errAnotherLog()
		case !errors.As(err, &s.gap):
			return err
		}
	}
	feed, err := s.t.follow(s.ctx, s.topic, "")
	if err != nil {
		return err
	}
	s.adopt(feed)
	return nil
}

// pass hands a batch out when the one before was handed out, and reports whether
// ctx is still alive. It returns before a large batch was handed out.
func (s *subscription) pass(batch []domain.Entry) bool {
	if !s.handedOut() {
		return false
	}
	if len(batch) < largeBatch {
		return s.hand(s, batch)
	}
	s.handing = make(chan bool, 1)
	go func(done chan<- bool) { done <- s.hand(s, batch) }(s.handing)
	return true
}

// handedOut waits until nothing is handed out any more, and reports whether ctx is
// still alive.
func (s *subscription) handedOut() bool {
	if s.handing == nil {
		return s.ctx.Err() == nil
	}
	ok := <-s.handing
	s.handing = nil
	return ok
}
