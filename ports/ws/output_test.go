package ws_test

import (
	"strings"
	"testing"
)

// opErrors returns how many ops were answered with an error, whatever the code.
func (n *node) opErrors() (all uint64) {
	for _, times := range n.server.Stats().Errors {
		all += times
	}
	return all
}

// Messages and notices are told apart, each is counted for each session, and only what
// came live has a delay.
func TestWhatIsWrittenIsCounted(t *testing.T) {
	n := serve(t, config{})
	alice, bob := n.dial("alice", "systems=orders", nil), n.plain("bob", "systems=orders")
	_, rest, _ := strings.Cut(alice.wants(`{"op":"hello"`), `"cursor":"`)
	cursor, _, _ := strings.Cut(rest, `"`)
	poll(t, func() bool { return n.server.Output().Notices == 1 })
	for range 3 {
		n.deliver("*", "orders", `{"n":1}`)
	}
	for range 3 {
		alice.wantsData(`{"n":1}`)
		if got, err := bob.next(); got != `{"n":1}` {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	alice.says(`{"op":"leave","ref":1,"system":"orders","room":"lobby"}`)
	alice.wants(`{"op":"ok","ref":1`)
	poll(t, func() bool { // what is written is counted after that
		out := n.server.Output()
		return out.Messages == 6 && out.Notices == 2
	})
	delay := n.server.Output().Delay
	if mean := delay.Sum / 6; delay.Count != 6 || mean < 0.99*readAgo.Seconds() || mean > 60 {
		t.Errorf("%d delays of %v s; want 6 of %v and a little", delay.Count, mean, readAgo)
	}

	// Who comes back catches up with what was read long ago.
	back := n.dial("alice", "systems=orders&resume=orders:"+cursor, nil)
	back.wants(`{"op":"hello"`)
	for range 3 {
		back.wantsData(`{"n":1}`)
	}
	poll(t, func() bool { return n.server.Output().Messages == 9 })
	if got := n.server.Output().Delay.Count; got != 6 {
		t.Errorf("%d delays after a session has caught up, want 6 as before", got)
	}
}
