package plane

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain/cloudevent"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/internal/pause"
)

const (
	// maxSpeech is how many events are published at once.
	maxSpeech = 100
	// dropAfter is how long the bus may refuse a topic of events until they are dropped:
	// events of other systems wait behind them.
	dropAfter = 10 * time.Second
)

// A speech is what a Plane knows of the events that it publishes.
type speech struct {
	published, dropped atomic.Uint64

	troubles map[string]*trouble // by topic; belongs to the goroutine of speak
}

// speak publishes events, one batch after the other, until ctx ends. What the bus does not
// take is tried again; the machine bounds what waits.
func (p *Plane) speak(ctx context.Context) {
	tick := time.NewTicker(p.cfg.Interval)
	defer tick.Stop()
	backoff := pause.Backoff{Min: retryMin, Max: retryMax}
	for {
		switch more, err := p.speakBatch(ctx); {
		case err != nil:
			backoff.Wait(ctx)
		case more:
			backoff.Reset()
		default:
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// speakBatch publishes the events that are due, up to the first one of another system than
// the first. It reports whether more may be due.
func (p *Plane) speakBatch(ctx context.Context) (more bool, err error) {
	events := p.events()
	if len(events) == 0 {
		return false, nil
	}
	topic := p.cfg.Topics.Events(events[0].System)
	payloads := payloadsOf(events)
	accepted, err := p.out.PublishRaw(ctx, topic, payloads...)
	if err == nil {
		accepted = len(payloads)
	}
	p.speech.published.Add(uint64(accepted))
	t := p.speech.trouble(p, topic)
	if err != nil {
		err = fmt.Errorf("plane: publish events: %w", err)
	}
	if ctx.Err() == nil {
		t.note(err)
	}
	if isRefusal(err) && t.lasts(dropAfter) {
		p.speech.dropped.Add(uint64(len(payloads) - accepted))
		accepted, err = len(payloads), nil
	}
	p.spoken(accepted)
	return true, err
}

func (p *Plane) events() []control.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Events(maxSpeech)
}

func (p *Plane) spoken(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Spoken(n)
}

// payloadsOf returns the events of the first one's system, up to the first of another.
func payloadsOf(events []control.Event) (payloads [][]byte) {
	system := events[0].System
	for _, e := range events {
		if e.System != system {
			break
		}
		c := cloudevent.FromControl(e)
		payloads = append(payloads, cloudevent.Append(nil, &c))
	}
	return payloads
}

// trouble returns what is known of a topic of events.
func (s *speech) trouble(p *Plane, topic string) *trouble {
	t := s.troubles[topic]
	if t == nil {
		t = newTrouble(p.cfg.Logger, topic, eventTrouble)
		s.troubles[topic] = t
	}
	return t
}
