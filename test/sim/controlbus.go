package sim

import (
	"bytes"
	"math/rand/v2"
	"time"
)

// A controlBus carries the control topic in a [controlWorld]. With a log it keeps what it
// took, in one order for all. Without one it loses, repeats and delays, differently for
// each node.
type controlBus struct {
	rnd  *rand.Rand
	log  bool
	loss float64

	entries []controlEntry // everything that was ever published
}

type controlEntry struct {
	at      time.Duration
	payload []byte
}

// A letterbox is what the bus still has to bring to one node, in order of arrival.
type letterbox struct {
	read     int // with a log: how many entries the node was brought
	waiting  []controlEntry
	missed   bool // something was lost since the last delivery
	capacity int
}

// publish takes a payload for all nodes.
func (b *controlBus) publish(at time.Duration, payload []byte, boxes []*letterbox) {
	b.entries = append(b.entries, controlEntry{at, bytes.Clone(payload)})
	if b.log {
		return
	}
	for _, box := range boxes {
		copies := 1
		switch x := b.rnd.Float64(); {
		case x < b.loss:
			copies = 0
		case x < b.loss*1.5:
			copies = 2
		}
		box.missed = box.missed || copies == 0
		for range copies {
			box.put(controlEntry{at + b.delay(), b.entries[len(b.entries)-1].payload})
		}
	}
}

func (b *controlBus) delay() time.Duration {
	if b.loss > 0 && b.rnd.IntN(30) == 0 {
		return time.Duration(b.rnd.IntN(3000)) * time.Millisecond
	}
	return time.Duration(b.rnd.IntN(80)) * time.Millisecond
}

// put keeps the entries in order of arrival. What does not fit is lost.
func (x *letterbox) put(e controlEntry) {
	if len(x.waiting) >= x.capacity {
		x.missed = true
		return
	}
	i := len(x.waiting)
	for i > 0 && x.waiting[i-1].at > e.at {
		i--
	}
	x.waiting = append(x.waiting, controlEntry{})
	copy(x.waiting[i+1:], x.waiting[i:])
	x.waiting[i] = e
}

// take returns what has arrived, and whether something before it was lost.
func (b *controlBus) take(x *letterbox, at time.Duration) (arrived [][]byte, missed bool) {
	if b.log {
		for x.read < len(b.entries) && b.entries[x.read].at <= at {
			arrived = append(arrived, b.entries[x.read].payload)
			x.read++
		}
		return arrived, false
	}
	n := 0
	for n < len(x.waiting) && x.waiting[n].at <= at {
		arrived = append(arrived, x.waiting[n].payload)
		n++
	}
	x.waiting = x.waiting[n:]
	missed, x.missed = x.missed, false
	return arrived, missed
}
