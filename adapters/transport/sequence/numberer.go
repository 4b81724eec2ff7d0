package sequence

import (
	"sync"
	"time"
)

const (
	// HighWaterMarkMin is how long after a topic's last message its first high-water mark
	// is due. The pauses before the next ones double up to HighWaterMarkMax.
	HighWaterMarkMin = time.Second
	// HighWaterMarkMax is the longest pause between two high-water marks of a topic.
	HighWaterMarkMax = time.Minute
	// maxTopics is on how many topics a Numberer numbers. Beyond that it forgets
	// the one that was quiet for longest, whose numbers begin anew under another
	// publisher id when it is used again.
	maxTopics = 4096
)

// A Numberer numbers what a process publishes, for each topic by itself. It is
// safe for concurrent use.
type Numberer struct {
	wake chan struct{} // holds one token when a topic that was quiet no longer is

	mu     sync.Mutex
	topics map[string]*topicNumbers // guarded by mu
}

// topicNumbers are those of one topic. The Numberer's mu guards them.
type topicNumbers struct {
	last  number
	due   time.Time     // when the next high-water mark is due
	pause time.Duration // between that mark and the one after it
}

// NewNumberer returns a Numberer that has numbered nothing.
func NewNumberer() *Numberer {
	return &Numberer{wake: make(chan struct{}, 1), topics: make(map[string]*topicNumbers)}
}

// DueHighWaterMarks returns the topics whose high-water marks are due now, and when
// the next one is due; zero if there is none. It counts those that it returns as
// published.
func (n *Numberer) DueHighWaterMarks(now time.Time) (topics []string, next time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for topic, have := range n.topics {
		if !have.due.After(now) {
			topics = append(topics, topic)
			have.pause = min(2*have.pause, HighWaterMarkMax)
			have.due = now.Add(have.pause)
		}
		if next.IsZero() || have.due.Before(next) {
			next = have.due
		}
	}
	return topics, next
}

// Wake returns a channel that holds one token when a topic that was quiet no
// longer is: then the next high-water mark may be due earlier than
// DueHighWaterMarks said.
func (n *Numberer) Wake() <-chan struct{} { return n.wake }

// A Batch numbers payloads. It holds the lock of its Numberer until End, so that
// numbers are in the order of the wire if the sender calls Number in that order.
type Batch struct {
	numberer *Numberer
	now      time.Time
	memory   []byte // of what Number and HighWaterMark return
}

// Begin locks the Numberer and reserves memory for that number of payloads and their
// total bytes.
// The caller must call End, in the same goroutine.
func (n *Numberer) Begin(payloads, bytes int) *Batch {
	b := &Batch{numberer: n, memory: make([]byte, 0, payloads*numberSize+bytes), now: time.Now()}
	n.mu.Lock()
	return b
}

// End unlocks the Numberer.
func (b *Batch) End() { b.numberer.mu.Unlock() }

// Number returns a copy of a payload that carries the topic's next number. It
// returns false if the payload cannot carry one.
func (b *Batch) Number(topic string, payload []byte) ([]byte, bool) {
	if !canCarryNumber(payload) {
		return nil, false
	}
	return b.append(b.numberer.next(topic, b.now), payload), true
}

// HighWaterMark returns the topic's high-water mark.
func (b *Batch) HighWaterMark(topic string) []byte {
	last := number{publisher: newPublisherID(), n: 1}
	if have, ok := b.numberer.topics[topic]; ok { // else it was forgotten since its mark was due
		last = have.last
	}
	return b.append(last, []byte("{"+highWaterMarkTail))
}

func (b *Batch) append(n number, payload []byte) []byte {
	start := len(b.memory)
	b.memory = appendNumbered(b.memory, n, payload)
	return b.memory[start:len(b.memory):len(b.memory)]
}

// next returns a topic's next number. Call it with mu held.
func (n *Numberer) next(topic string, now time.Time) number {
	have, ok := n.topics[topic]
	if !ok {
		have = n.add(topic)
	}
	have.last.n++
	have.due = now.Add(HighWaterMarkMin)
	if have.pause != HighWaterMarkMin {
		have.pause = HighWaterMarkMin
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
	return have.last
}

// add begins to number a topic. Call it with mu held.
func (n *Numberer) add(topic string) *topicNumbers {
	if len(n.topics) >= maxTopics {
		delete(n.topics, n.quietest())
	}
	have := &topicNumbers{last: number{publisher: newPublisherID()}}
	n.topics[topic] = have
	return have
}

// quietest returns the topic that was published to the longest ago. Call it with
// mu held.
func (n *Numberer) quietest() (topic string) {
	var most time.Duration
	var due time.Time
	for name, have := range n.topics {
		if topic == "" || have.pause > most || have.pause == most && have.due.Before(due) {
			topic, most, due = name, have.pause, have.due
		}
	}
	return topic
}
