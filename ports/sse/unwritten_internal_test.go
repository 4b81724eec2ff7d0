package sse

import (
	"slices"
	"testing"

	"github.com/fanfarebus/fanfare/domain/stream"
)

// What was taken and not sent can be seen, while it waits and while it is in flight.
func TestUnwrittenMessagesCanBeSeen(t *testing.T) {
	o := &outbox{maxBytes: 1 << 20, maxItems: 100, wake: make(chan struct{}, 1)}
	want := func(ops ...string) {
		t.Helper()
		var got []string
		o.unwritten(func(op []byte) bool { got = append(got, string(op)); return true })
		if !slices.Equal(got, ops) {
			t.Errorf("unwritten: %q, want %q", got, ops)
		}
	}
	offer := func(text string) { o.offer(nil, stream.Frame{Bytes: []byte(text), Message: true}, nil) }
	want()
	offer("a")
	o.reply([]byte("a notice"))
	o.next()
	offer("b")
	want("a", "b") // a is in flight
	o.sent()
	want("b")
	o.next()
	o.sent()
	want()
}
