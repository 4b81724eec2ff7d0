package migrate

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

// A payload that was published three times must be read back three times: one
// entry is not proof of the other two messages.
func TestEachEntryReadsBackOneMessage(t *testing.T) {
	r := newReadbacks()
	same := func() *message.Message { return message.NewMessage("", []byte(`{"to":"*"}`)) }
	isDone := func(expected *readback) bool {
		select {
		case <-expected.done:
			return true
		default:
			return false
		}
	}
	one, two := r.expect([]*message.Message{same()}), r.expect([]*message.Message{same(), same()})
	for i, want := range []struct{ one, two bool }{{true, false}, {true, false}, {true, true}} {
		r.observe(1, []domain.Entry{{Body: []byte(`{"to":"*"}`)}})
		if isDone(one) != want.one || isDone(two) != want.two {
			t.Errorf("after %d entries: done are %v and %v, want %v", i+1, isDone(one), isDone(two), want)
		}
	}
	r.forget(one)
	r.forget(two)
	if len(r.waiting) != 0 {
		t.Errorf("%d payloads are still waited for", len(r.waiting))
	}
}
