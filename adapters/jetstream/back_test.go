package jetstream_test

import (
	"errors"
	"fmt"
	"testing"

	stock "github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func (k kit) wantBack(upTo domain.Position, n int, wantStart bool, want ...string) {
	k.t.Helper()
	at, start, err := k.d.(transport.Rewinder).Back(k.t.Context(), "t", upTo, n)
	k.must(err)
	if start != wantStart {
		k.t.Errorf("%d back: start is %v", n, start)
	}
	k.want(want, k.bodies(k.follow(at), len(want))[:len(want)])
}

// Other topics of the stream, and messages that were deleted, are not counted.
func TestBackInASharedStreamCountsTheTopicAlone(t *testing.T) {
	k := newKit(t)
	k.create(func(c *stock.StreamConfig) { c.Subjects = []string{"t", "other"} })
	js := k.js()
	for i := 1; i <= 300; i++ { // t has every tenth message: 1, 11, …; and each of the first 100
		subject := "other"
		if i%10 == 1 || i <= 100 {
			subject = "t"
		}
		_, err := js.Publish(t.Context(), subject, fmt.Append(nil, i))
		k.must(err)
	}
	_, _, err := k.d.(transport.Rewinder).Back(t.Context(), "t", "", 50)
	k.must(err)
	driverkit.Poll(t, func() bool { // until the server has deleted the consumers
		info, err := k.stream().Info(t.Context())
		return err == nil && info.State.Consumers == 0
	})
	k.wantBack("", 1, false, "291")
	k.wantBack("", 2, false, "281", "291")
	k.wantBack("", 20, false, "101", "111")
	k.wantBack("", 21, false, "100", "101")
	k.wantBack(at(285), 2, false, "271", "281")
	k.wantBack(at(281), 2, false, "271", "281")
	k.wantBack(at(100), 3, false, "98", "99", "100", "101")
	k.wantBack("", 120, false, "1", "2")
	k.wantBack("", 121, true, "1", "2")
	k.del(2, 99, 291)
	k.wantBack("", 1, false, "281")
	k.wantBack(at(100), 3, false, "97", "98", "100", "101")
	k.wantBack(at(4), 3, false, "1", "3", "4")
	k.wantBack(at(4), 4, true, "1", "3", "4")
}

func TestBackSaysWhatIsWrong(t *testing.T) {
	k := newKit(t)
	back := func() error {
		_, _, err := k.d.(transport.Rewinder).Back(t.Context(), "t", "", 3)
		return err
	}
	if err := back(); err != nil {
		t.Errorf("no stream: %v", err)
	}
	if _, err := k.js().Stream(t.Context(), "t"); !errors.Is(err, stock.ErrStreamNotFound) {
		t.Errorf("it has made a stream: %v", err)
	}
	k.Kill()
	if err := back(); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("bus down: %v", err)
	}
}
