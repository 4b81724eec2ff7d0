package transport

import (
	"context"
	"time"
)

// lastTrimsTimeout bounds what Close spends on topics that were published to and
// never trimmed. A process that publishes something and ends has such topics.
const lastTrimsTimeout = time.Second

// trimPublished has the topics of records trimmed from now on.
func (t *Transport) trimPublished(records []Outgoing) {
	t.trimming.publish(records)
	t.startTrimming()
}

// startTrimming starts the goroutine that trims one topic after the other, when it
// is first called. Close waits for it.
func (t *Transport) startTrimming() {
	t.trimming.start.Do(func() {
		if t.enter() != nil {
			return // closed: nothing is trimmed any more
		}
		go func() {
			defer t.running.Done()
			t.trimAll()
		}()
	})
}

// trimAll trims what is due until Close, and then, once, the topics that were
// published to and never trimmed.
func (t *Transport) trimAll() {
	for t.closing.Err() == nil {
		due, next := t.trimming.due(time.Now())
		for _, topic := range due {
			t.trim(t.closing, topic)
		}
		wait := t.cfg.TrimEvery
		if !next.IsZero() {
			wait = time.Until(next)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-t.trimming.wake:
		case <-t.closing.Done():
		}
		timer.Stop()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.closing), lastTrimsTimeout)
	defer cancel()
	for _, topic := range t.trimming.neverTrimmed() {
		t.trim(ctx, topic)
	}
}

// trim trims one topic, and logs now and then that it fails.
func (t *Transport) trim(ctx context.Context, topic string) {
	if ctx.Err() != nil {
		return
	}
	attempt, cancel := context.WithTimeout(ctx, t.cfg.FollowTimeout)
	defer cancel()
	err := t.trimOnce(attempt, topic)
	switch {
	case err == nil:
		t.trimming.trimmed(topic)
	case ctx.Err() == nil && t.Up(): // if the bus is down, Run has logged that
		t.trimming.failures.warn(t.cfg.Logger, "trimming failed", "topic", topic, "error", err)
	}
}

func (t *Transport) trimOnce(ctx context.Context, topic string) error {
	if consumed, ok := t.driver.(ConsumedTrimmer); ok && t.trimming.isInbound(topic) {
		_, err := consumed.TrimConsumed(ctx, topic)
		return err
	}
	return t.trimming.driver.Trim(ctx, topic)
}
