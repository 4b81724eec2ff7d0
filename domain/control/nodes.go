package control

import (
	"cmp"
	"slices"
	"time"
)

// A peer is another node that is alive: one incarnation of it.
type peer struct {
	name, inc string
	src       source
	seq       uint64        // of the last message
	heard     time.Duration // when the last message came, on Now.Mono
	judged    time.Duration // what nodes.judged was then
	// followed says that a later incarnation of its node was heard of since, first when
	// nodes.judged was followedAt. Mostly the node was started again; but two nodes may
	// have the same name by mistake, or somebody forged the later one.
	followed   bool
	followedAt time.Duration
	clock      peerClock
	trusted    bool // the clock was when the last message came

	beat    *beat // the last one; nil: none yet
	differs int   // beats in a row whose digest of facts differed from this node's
	gapAt   time.Duration

	// The replica of its rows. It is in step if no message has been missed since it was
	// known to be equal.
	inStep  bool
	snapID  uint64 // of the snapshot that is being received; 0: none
	part    int    // the last one of it
	askAt   time.Duration
	askWait time.Duration
}

// speaks reports whether the peer said last that it speaks.
func (p *peer) speaks() bool { return p.beat != nil && p.beat.speaks }

// A peerClock knows how a peer's wall clock stands to this node's Now.Mono: the offset is
// what is added to the one to have the other. Each message tells it, too large by how
// long the message took, so the smallest counts.
type peerClock struct {
	steps  uint32 // of the peer's clock
	offset int64  // in ms
	at     int64  // Mono of the last sample, in ms
	known  bool
	// The offset has been nearly the same since settled. Of messages that are replayed in
	// a hurry each has a smaller one, since less time passes than when they were made.
	settled int64 // Mono, in ms
	anchor  int64 // the offset at that time
}

const (
	// clockDrift is how fast a clock may drift against another: one ms in so many ms. It
	// bounds how long a message that was very fast is better than later ones.
	clockDrift = 1000
	// clockSettles is how long an offset has to be nearly the same to be trusted, and
	// clockJump what is not nearly the same.
	clockSettles = 2000 // ms
	clockJump    = 500  // ms
)

// sample takes note of when a message was made and when it came.
func (c *peerClock) sample(mono time.Duration, at int64, steps uint32) {
	now := mono.Milliseconds()
	of := now - at
	switch {
	case !c.known:
		*c = peerClock{known: true, settled: now, anchor: of}
	case steps != c.steps:
		c.anchor = of
	default:
		of = min(of, c.offset+(now-c.at+clockDrift-1)/clockDrift)
	}
	if of < c.anchor-clockJump {
		c.settled, c.anchor = now, of
	}
	c.steps, c.offset, c.at = steps, of, now
}

// trusted reports whether the peer's clock is known well enough to tell by it when a fact
// ends.
func (c *peerClock) trusted(now Now) bool {
	return c.known && now.Mono.Milliseconds()-c.settled >= clockSettles && c.near(now)
}

// near reports whether the peer's clock is not so far off that it had better be ignored.
func (c *peerClock) near(now Now) bool {
	return c.known && abs(now.Mono.Milliseconds()-now.Wall-c.offset) <= maxAhead.Milliseconds()
}

// made returns when a message was made, on Now.Mono, as far as the peer's clock tells.
// After the bus could not be reached a message may come long after that.
func (c *peerClock) made(mono time.Duration, at int64) time.Duration {
	return time.Duration(max(0, min(mono.Milliseconds(), at+c.offset))) * time.Millisecond
}

// nodes are the other nodes that are alive, and those that are not.
type nodes struct {
	most   int
	peers  map[string]*peer // by incarnation
	list   []*peer          // sorted by incarnation
	last   source           // the last number that was given to one
	judged time.Duration    // time in which this node could have heard the others

	dead map[string]uint64 // incarnations that are not alive: the last number heard of them
	ring []string          // those, oldest first
}

// maxSkip is how far the number of a message may be after the last one of its incarnation:
// a node that speaks as often as it can needs most of a year for that. Without it one
// forged message could take all numbers, and whatever the node says would count as old.
// The node itself goes on after the forged number, see [Machine.echo].
const maxSkip = 1 << 28

// maxFirst is the greatest number with which an incarnation may be heard first.
const maxFirst = maxSkip << 8

// maxDead is how many incarnations are remembered that are not alive.
const maxDead = 10_000

func newNodes(most int) *nodes {
	return &nodes{most: most, peers: make(map[string]*peer), dead: make(map[string]uint64)}
}

// A hearing says what a message is worth.
type hearing uint8

const (
	fresh    hearing = iota // the peer has just made it
	stale                   // it is a replay, or of an incarnation that is not alive, or its number is not to be
	crowded                 // there are too many nodes
	replaced                // its node runs on in a later incarnation
)

// hear judges a message of another node by who it says that it is from. The peer is nil
// if that is not alive.
func (n *nodes) hear(now Now, m *message) (*peer, hearing) {
	if p := n.peers[m.inc]; p != nil {
		if m.seq <= p.seq || m.seq-p.seq > maxSkip {
			return p, stale
		}
		return p, fresh
	}
	last, isDead := n.dead[m.inc]
	switch {
	case isDead && (m.seq <= last || m.seq-last > maxSkip), m.seq > maxFirst:
		return nil, stale
	case len(n.peers) >= n.most:
		return nil, crowded
	case !isDead && (n.later(m) || abs(m.at-now.Wall) > maxAhead.Milliseconds()):
		// It is an old message, or of a node that is alive although it seems not to be:
		// then it says something more.
		n.bury(m.inc, m.seq)
		return nil, replaced
	}
	return n.add(m), fresh
}

// recall takes note of what a node has said in the past. Only what it says later proves
// that it is alive.
func (n *nodes) recall(m *message) {
	if n.peers[m.inc] == nil && m.seq <= maxFirst {
		n.bury(m.inc, m.seq)
	}
}

// later reports whether a later incarnation of a message's node is alive.
func (n *nodes) later(m *message) bool {
	return slices.ContainsFunc(n.list, func(p *peer) bool { return p.name == m.node && p.inc > m.inc })
}

func (n *nodes) add(m *message) *peer {
	n.last++
	p := &peer{name: m.node, inc: m.inc, src: n.last}
	n.peers[p.inc] = p
	at, _ := n.find(p.inc)
	n.list = slices.Insert(n.list, at, p)
	delete(n.dead, p.inc) // its name stays in the ring, which bury allows for
	return p
}

func (n *nodes) find(inc string) (int, bool) {
	return slices.BinarySearchFunc(n.list, inc, func(p *peer, inc string) int { return cmp.Compare(p.inc, inc) })
}

// remove takes a peer from those that are alive. Only what it says later than this can
// bring it back.
func (n *nodes) remove(p *peer) {
	delete(n.peers, p.inc)
	if at, found := n.find(p.inc); found {
		n.list = slices.Delete(n.list, at, at+1)
	}
	n.bury(p.inc, p.seq)
}

// bury remembers an incarnation that is not alive.
func (n *nodes) bury(inc string, seq uint64) {
	if _, again := n.dead[inc]; !again {
		n.ring = append(n.ring, inc)
	}
	n.dead[inc] = max(n.dead[inc], seq)
	for len(n.ring) > maxDead {
		delete(n.dead, n.ring[0])
		n.ring[0] = ""
		n.ring = n.ring[1:]
	}
}

// predecessors returns the peers that a new one replaces: earlier incarnations of the
// same node.
func (n *nodes) predecessors(of *peer) (all []*peer) {
	for _, p := range n.list {
		if p.name == of.name && p.inc < of.inc {
			all = append(all, p)
		}
	}
	return all
}

// silent returns the peers that were not heard for a time in which they could have been:
// after, or follow for one that a later incarnation of its node follows.
func (n *nodes) silent(after, follow time.Duration) (all []*peer) {
	for _, p := range n.list {
		if n.judged-p.judged >= after || p.followed && n.judged-p.followedAt >= follow {
			all = append(all, p)
		}
	}
	return all
}

// inStep reports whether the rows of all peers are known.
func (n *nodes) inStep() bool {
	return !slices.ContainsFunc(n.list, func(p *peer) bool { return !p.inStep })
}

func abs(n int64) int64 { return max(n, -n) }
