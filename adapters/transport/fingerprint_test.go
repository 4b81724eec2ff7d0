package transport_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A node notes the fingerprints of what it hears.
type node struct {
	bus          *lossyBus
	feed         *pipeFeed
	mu           sync.Mutex
	fingerprints map[string]domain.Fingerprint
}

// twoNodes makes two nodes that hear what the test gives each of them, and what
// three publishers put on the wire: "p1" is the first message of the first.
func twoNodes(t *testing.T, g transport.Guarantees, test func(a, b *node, wire func(names ...string) []string)) {
	synctest.Test(t, func(t *testing.T) {
		bus := &lossyBus{}
		payloads := make(map[string]string)
		for _, name := range []string{"p", "q", "r"} {
			pub := transport.New(bus.driver(), transport.Config{})
			for n := range 9 {
				mustPublish(t, pub, envelope(fmt.Sprintf(`{"to":"*","data":"%s%d"}`, name, n+1)))
				bus.set(func() { payloads[fmt.Sprint(name, n+1)] = bus.seen[len(bus.seen)-1] })
			}
			time.Sleep(3 * time.Second)
			synctest.Wait()
			bus.set(func() { payloads[name+"-mark"] = bus.seen[len(bus.seen)-1] })
			mustClose(t, pub)
		}
		nodes := make([]*node, 2)
		for i := range nodes {
			driver := bus.driver()
			driver.guarantees = g
			sub := transport.New(driver, transport.Config{})
			defer mustClose(t, sub)
			nodes[i] = &node{bus: bus, fingerprints: make(map[string]domain.Fingerprint)}
			in := subscribe(t, sub.Batches())
			bus.set(func() { nodes[i].feed = bus.feeds[len(bus.feeds)-1] })
			go func() {
				for m := range in {
					batch, _ := domain.EntriesFrom(m.Context())
					nodes[i].note(batch)
					m.Ack()
				}
			}()
		}
		test(nodes[0], nodes[1], func(names ...string) (wire []string) {
			for _, n := range names {
				if p, ok := payloads[n]; ok {
					wire = append(wire, p)
				} else {
					wire = append(wire, fmt.Sprintf(`{"to":"*","data":%q}`, n))
				}
			}
			return wire
		})
	})
}

func (n *node) note(batch []domain.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range batch {
		for _, what := range said(e) {
			n.fingerprints[what] = e.Fingerprint
		}
	}
}

func (n *node) hear(wire []string) {
	for _, p := range wire {
		n.feed.in <- []domain.Entry{{Body: []byte(p)}}
	}
	synctest.Wait()
}

func (n *node) fingerprint(name string) domain.Fingerprint {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fingerprints[fmt.Sprintf("%q", name)]
}

var oneOrder = transport.Guarantees{TotalOrder: true}

// TestFingerprints lets two nodes hear what is written here, words parted by
// spaces, and wants the fingerprints of the last word to be the same or not.
func TestFingerprints(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []string
		same bool
	}{
		{"what both have heard", []string{"p1", "q1", "p2"}, []string{"p1", "q1", "p2"}, true},
		{"one began later", []string{"p1", "q1", "p2", "q2"}, []string{"p2", "q2"}, true},
		{"one began so much later that it does not know a publisher", []string{"q1", "p1", "p2"}, []string{"p1", "p2"}, false},
		{"that publisher was heard of again", []string{"q1", "p1", "q-mark", "p2"}, []string{"p1", "q-mark", "p2"}, true},
		{"one misses something and does not know", []string{"q1", "p1", "q2", "p2"}, []string{"q1", "p1", "p2"}, false},
		{"one missed something and knows", []string{"q1", "p1", "q2", "p2", "q3", "p3"}, []string{"q1", "p1", "p2", "q3", "p3"}, true},
		{"one missed the first of a publisher", []string{"p1", "q1", "p2"}, []string{"p1", "p2"}, false},
		{"one was told by a mark", []string{"p1", "p8", "p9", "p-mark", "q1"}, []string{"p1", "p8", "p-mark", "q1"}, true},
		{"foreign messages behind a numbered one", []string{"p1", "x", "y"}, []string{"p1", "x", "y"}, true},
		{"one misses a foreign message", []string{"p1", "x", "y"}, []string{"p1", "y"}, false},
		{"and hears a numbered one behind it", []string{"p1", "x", "y", "p2"}, []string{"p1", "y", "p2"}, true},
		{"foreign messages that are the same", []string{"p1", "x", "x"}, []string{"p1", "x"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			twoNodes(t, oneOrder, func(a, b *node, wire func(names ...string) []string) {
				a.hear(wire(c.a...))
				b.hear(wire(c.b...))
				last := c.a[len(c.a)-1]
				if a.fingerprint(last) == 0 || b.fingerprint(last) == 0 {
					t.Fatalf("no fingerprint: %v, %v", a.fingerprints, b.fingerprints)
				}
				if (a.fingerprint(last) == b.fingerprint(last)) != c.same {
					t.Errorf("%s is at %x and %x", last, a.fingerprint(last), b.fingerprint(last))
				}
			})
		})
	}
}

func TestPublishersThatFellSilentCountNoMore(t *testing.T) {
	twoNodes(t, oneOrder, func(a, b *node, wire func(names ...string) []string) {
		a.hear(wire("q1", "p1"))
		b.hear(wire("p1"))
		time.Sleep(60 * time.Second) // a mark may come as late
		a.hear(wire("p2"))
		b.hear(wire("p2"))
		if a.fingerprint("p2") == b.fingerprint("p2") {
			t.Error("a publisher that may live is forgotten")
		}
		time.Sleep(40 * time.Second)
		a.hear(wire("p3"))
		b.hear(wire("p3"))
		if a.fingerprint("p3") != b.fingerprint("p3") {
			t.Error("a publisher that was heard no more still counts")
		}
		a.hear(wire("q2"))
		b.hear(wire("q2"))
		if a.fingerprint("q2") != b.fingerprint("q2") {
			t.Error("one that came back is not what it was")
		}
	})
}

func TestNoFingerprintsWhereThereIsNoOneOrder(t *testing.T) {
	twoNodes(t, transport.Guarantees{}, func(a, _ *node, wire func(names ...string) []string) {
		a.hear(wire("p1", "x"))
		if a.fingerprint("p1") != 0 || a.fingerprint("x") != 0 {
			t.Errorf("fingerprints: %v", a.fingerprints)
		}
	})
}

func TestNoFingerprintForForeignMessagesWithNothingBeforeThem(t *testing.T) {
	twoNodes(t, oneOrder, func(a, _ *node, wire func(names ...string) []string) {
		a.hear(wire("x", "p1"))
		if a.fingerprint("x") != 0 || a.fingerprint("p1") == 0 {
			t.Errorf("fingerprints: %v", a.fingerprints)
		}
		close(a.feed.in) // what was lost with it may have been foreign
		time.Sleep(time.Second)
		a.bus.set(func() { a.feed = a.bus.feeds[len(a.bus.feeds)-1] })
		a.hear(wire("y"))
		if a.fingerprint("y") != 0 {
			t.Errorf("fingerprints: %v", a.fingerprints)
		}
	})
}
