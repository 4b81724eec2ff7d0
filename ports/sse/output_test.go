package sse_test

import "testing"

// Messages and notices are told apart, and only what came live has a delay.
func TestWhatIsWrittenIsCounted(t *testing.T) {
	n := serve(t, config{})
	s := n.hello("alice", "systems=orders")
	poll(t, func() bool { return n.server.Output().Notices == 1 })
	n.deliver("user:alice", "orders", `{"n":1}`)
	s.wantsData(`{"n":1}`)
	poll(t, func() bool { return n.server.Output().Messages == 1 }) // it is counted after it was written
	first := n.server.Output()
	if d := first.Delay; d.Count != 1 || d.Sum < 0.99*readAgo.Seconds() || d.Sum > 60 {
		t.Errorf("%d delays of %v s; want one of %v and a little", d.Count, d.Sum, readAgo)
	}
	if first.Writes < 2 || first.Bytes == 0 {
		t.Errorf("%d writes of %d bytes", first.Writes, first.Bytes)
	}

	// Who comes back catches up with what was read long ago.
	s.close()
	poll(t, func() bool { return n.registry.Stats().Sessions == 0 })
	n.deliver("user:alice", "orders", `{"n":2}`)
	back := n.again(s, "alice", "systems=orders")
	back.wants(`{"op":"hello"`)
	back.wantsData(`{"n":2}`)
	poll(t, func() bool { return n.server.Output().Messages == 2 })
	if got := n.server.Output().Delay.Count; got != 1 {
		t.Errorf("%d delays after a session has caught up, want 1 as before", got)
	}
}
