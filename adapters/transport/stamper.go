package transport

import (
	"context"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

const (
	// markMin is how long after a topic's last message its first high-water mark
	// follows; the pauses double up to markMax.
	markMin = time.Second
	markMax = time.Minute
	// maxStamped is on how many topics a Transport numbers what it publishes. The
	// one that was quiet for longest is forgotten; its numbers begin anew under
	// another start id when it is used again.
	maxStamped = 4096
)

// A stamper numbers what a Transport publishes on a bus that keeps no log, so
// that who misses something finds out. It is safe for concurrent use.
type stamper struct {
	mark *message.Message // stands for any topic's high-water mark
	wake chan struct{}    // holds one token when a topic that was quiet no longer is

	mu     sync.Mutex
	topics map[string]*numbers // guarded by mu
}

// numbers are those of one topic.
type numbers struct {
	last  stamp
	due   time.Time     // when the next mark is
	pause time.Duration // before the mark after that
}

func newStamper() *stamper {
	s := &stamper{
		mark:   message.NewMessage("", []byte("{"+markTail)),
		wake:   make(chan struct{}, 1),
		topics: make(map[string]*numbers),
	}
	s.mark.Metadata.Set(RawKey, "1")
	return s
}

// stamp numbers records in their order, which is that of the wire. It replaces
// messages by copies and changes none.
func (s *stamper) stamp(records []Outgoing) {
	size := 0
	for _, r := range records {
		size += stampSize + len(r.Message.Payload)
	}
	var (
		payloads = make([]byte, 0, size)
		messages = make([]message.Message, len(records))
		now      = time.Now()
	)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range records {
		r := &records[i]
		number, ok := s.number(r, now)
		if !ok {
			continue
		}
		start := len(payloads)
		payloads = appendStamped(payloads, number, r.Message.Payload)
		m := &messages[i]
		m.UUID, m.Metadata = r.Message.UUID, r.Message.Metadata
		m.Payload = payloads[start:len(payloads):len(payloads)]
		m.SetContext(r.Message.Context())
		r.Message = m
	}
}

// number gives a record its number; false if it gets none. Call it with mu held.
func (s *stamper) number(r *Outgoing, now time.Time) (stamp, bool) {
	if r.Message == s.mark {
		n, ok := s.topics[r.Topic]
		if !ok { // forgotten meanwhile
			return stamp{start: newStartID(), number: 1}, true
		}
		return n.last, true
	}
	if r.Message.Metadata[RawKey] == "" || !stampable(r.Message.Payload) {
		return stamp{}, false
	}
	n, ok := s.topics[r.Topic]
	if !ok {
		n = s.add(r.Topic)
	}
	n.last.number++
	n.due = now.Add(markMin)
	if n.pause != markMin {
		n.pause = markMin
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return n.last, true
}

func (s *stamper) add(topic string) *numbers {
	if len(s.topics) >= maxStamped {
		delete(s.topics, s.quietest())
	}
	n := &numbers{last: stamp{start: newStartID()}}
	s.topics[topic] = n
	return n
}

func (s *stamper) quietest() (topic string) {
	var most time.Duration
	var due time.Time
	for name, n := range s.topics {
		if topic == "" || n.pause > most || n.pause == most && n.due.Before(due) {
			topic, most, due = name, n.pause, n.due
		}
	}
	return topic
}

// dueMarks returns the topics whose marks are due, and when the next one is;
// zero if there is none.
func (s *stamper) dueMarks(now time.Time) (topics []string, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, n := range s.topics {
		if !n.due.After(now) {
			topics = append(topics, topic)
			n.pause = min(2*n.pause, markMax)
			n.due = now.Add(n.pause)
		}
		if next.IsZero() || n.due.Before(next) {
			next = n.due
		}
	}
	return topics, next
}

// stamp numbers a commit's records. The first time it starts the goroutine that
// publishes the marks, which Close waits for.
func (t *Transport) stamp(records []Outgoing) {
	t.stamps.stamp(records)
	t.marking.Do(func() {
		if t.enter() != nil {
			return // after Close nothing is due
		}
		go func() {
			defer t.running.Done()
			t.publishMarks()
		}()
	})
}

// publishMarks publishes high-water marks when they are due, until Close.
func (t *Transport) publishMarks() {
	for {
		now := time.Now()
		topics, next := t.stamps.dueMarks(now)
		for _, topic := range topics {
			t.publishMark(topic)
		}
		wait := markMax
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-t.stamps.wake:
		case <-t.ending.Done():
		}
		timer.Stop()
		if t.ending.Err() != nil {
			return
		}
	}
}

// publishMark tries once. The mark's number is given where all are, so a
// message that overtakes it does no harm.
func (t *Transport) publishMark(topic string) {
	c := &call{
		topic:    topic,
		messages: []*message.Message{t.stamps.mark},
		constant: true,
		deadline: time.Now().Add(t.cfg.PublishTimeout),
	}
	out := t.line(topic).publish(context.WithoutCancel(t.ending), c)
	if out.err != nil {
		t.cfg.Logger.Debug("a high-water mark was not published", "topic", topic, "error", out.err)
		return
	}
	t.counts.marks.Add(1)
}
