package migrate

import (
	"hash/maphash"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

// What was published twice has come back when it has come twice: one of them
// proves nothing of the other.
func TestEachEchoIsOneMessages(t *testing.T) {
	e := &readbacks{seed: maphash.MakeSeed(), waiting: make(map[uint64][]*readback)}
	same := func() *message.Message { return message.NewMessage("", []byte(`{"to":"*"}`)) }
	back := func(x *readback) bool {
		select {
		case <-x.back:
			return true
		default:
			return false
		}
	}
	first, both := e.expect([]*message.Message{same()}), e.expect([]*message.Message{same(), same()})
	for i, want := range []struct{ first, both bool }{{true, false}, {true, false}, {true, true}} {
		e.hear([]domain.Entry{{Body: []byte(`{"to":"*"}`)}})
		if back(first) != want.first || back(both) != want.both {
			t.Errorf("after %d: %v and %v are back, want %v", i+1, back(first), back(both), want)
		}
	}
	e.forget(first)
	e.forget(both)
	if len(e.waiting) != 0 {
		t.Errorf("%d are waited for", len(e.waiting))
	}
}
