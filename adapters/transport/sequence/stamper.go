package sequence

import (
	"sync"
	"time"
)

const (
	// markMin is how long after a topic's last message its first high-water mark
	// follows; the pauses double up to MarkMax.
	markMin = time.Second
	MarkMax = time.Minute
	// maxStamped is on how many topics a Transport numbers what it publishes. The
	// one that was quiet for longest is forgotten; its numbers begin anew under
	// another start id when it is used again.
	maxStamped = 4096
)

// A Stamper numbers what a Transport publishes on a bus that keeps no log, so
// that who misses something finds out. It is safe for concurrent use.
type Stamper struct {
	wake chan struct{} // holds one token when a topic that was quiet no longer is

	mu     sync.Mutex
	topics map[string]*numbers // guarded by mu
}

// numbers are those of one topic.
type numbers struct {
	last  stamp
	due   time.Time     // when the next mark is
	pause time.Duration // before the mark after that
}

// NewStamper returns a Stamper that has numbered nothing.
func NewStamper() *Stamper {
	return &Stamper{wake: make(chan struct{}, 1), topics: make(map[string]*numbers)}
}

// Wake holds one token when a topic that was quiet no longer is: then DueMarks
// has another answer.
func (s *Stamper) Wake() <-chan struct{} { return s.wake }

// A Batch numbers payloads in their order, which is that of the wire. It locks
// its Stamper until End.
type Batch struct {
	s        *Stamper
	now      time.Time
	payloads []byte
}

// Begin begins a batch of so many payloads, of so many bytes together.
func (s *Stamper) Begin(payloads, bytes int) *Batch {
	b := &Batch{s: s, payloads: make([]byte, 0, payloads*stampSize+bytes), now: time.Now()}
	s.mu.Lock()
	return b
}

// End unlocks the Stamper.
func (b *Batch) End() { b.s.mu.Unlock() }

// Number returns a copy of a payload with its number in it. It returns false if
// the payload is none that can carry one.
func (b *Batch) Number(topic string, payload []byte) ([]byte, bool) {
	if !stampable(payload) {
		return nil, false
	}
	return b.append(b.s.next(topic, b.now), payload), true
}

// Mark returns the topic's high-water mark.
func (b *Batch) Mark(topic string) []byte {
	last := stamp{}
	if n, ok := b.s.topics[topic]; ok {
		last = n.last
	} else { // forgotten meanwhile
		last = stamp{start: newStartID(), number: 1}
	}
	return b.append(last, []byte("{"+markTail))
}

func (b *Batch) append(number stamp, payload []byte) []byte {
	start := len(b.payloads)
	b.payloads = appendStamped(b.payloads, number, payload)
	return b.payloads[start:len(b.payloads):len(b.payloads)]
}

// next returns a topic's next number. Call it with mu held.
func (s *Stamper) next(topic string, now time.Time) stamp {
	n, ok := s.topics[topic]
	if !ok {
		n = s.add(topic)
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
	return n.last
}

func (s *Stamper) add(topic string) *numbers {
	if len(s.topics) >= maxStamped {
		delete(s.topics, s.quietest())
	}
	n := &numbers{last: stamp{start: newStartID()}}
	s.topics[topic] = n
	return n
}

func (s *Stamper) quietest() (topic string) {
	var most time.Duration
	var due time.Time
	for name, n := range s.topics {
		if topic == "" || n.pause > most || n.pause == most && n.due.Before(due) {
			topic, most, due = name, n.pause, n.due
		}
	}
	return topic
}

// DueMarks returns the topics whose marks are due, and when the next one is;
// zero if there is none.
func (s *Stamper) DueMarks(now time.Time) (topics []string, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, n := range s.topics {
		if !n.due.After(now) {
			topics = append(topics, topic)
			n.pause = min(2*n.pause, MarkMax)
			n.due = now.Add(n.pause)
		}
		if next.IsZero() || n.due.Before(next) {
			next = n.due
		}
	}
	return topics, next
}
