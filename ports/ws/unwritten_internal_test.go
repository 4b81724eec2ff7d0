package ws

import (
	"slices"
	"testing"

	"github.com/fanfarebus/fanfare/domain/stream"
)

// What was taken and not written can be seen: while it waits, while it is in flight, and when
// the connection is lost.
func TestUnwrittenMessagesCanBeSeen(t *testing.T) {
	o := &outbox{maxBytes: 1 << 20, maxFrames: 100}
	want := func(frames ...string) {
		t.Helper()
		var got []string
		o.unwritten(func(f []byte) bool { got = append(got, string(f)); return true })
		if !slices.Equal(got, frames) {
			t.Errorf("unwritten: %q, want %q", got, frames)
		}
	}
	offer := func(text string) { o.offer(stream.Frame{Bytes: []byte(text), Message: true}) }
	var b batch
	want()
	offer("a")
	o.reply([]byte("a notice"))
	want("a")
	o.next(&b)
	offer("b")
	want("a", "b") // a is in flight
	o.written()
	want("b")
	o.next(&b)
	o.written()
	want()
	offer("c")
	o.next(&b)
	offer("d")
	offer("e")
	o.unwritten(func(f []byte) bool { return false })
	o.cut([]byte("close")) // the writer is at c
	want("c", "d", "e")
	o.fail()
	want("c", "d", "e")

	o = &outbox{maxBytes: 1 << 20, maxFrames: 100}
	offer("a")
	o.next(&b)
	offer("b")
	o.fail()
	want("a", "b")
}
