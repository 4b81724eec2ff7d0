package kafka_test

import (
	"errors"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// When a topic was made anew, messages are in another log. A node that follows the topic
// knows that.
func TestMessagesOfATopicThatWasMadeAnewAreInAnotherLog(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1)
		put := func() (at domain.Location) {
			driverkit.Poll(k.t, func() bool { // until the brokers agree on the topic
				records := driverkit.Outgoing(k.topic, driverkit.Raw("x"))
				err := errors.Join(k.d.Publish(k.t.Context(), records)...)
				at = records[0].At
				return err == nil
			})
			return at
		}
		old := put()
		if log := k.follow("").Log(); old != (domain.Location{Log: log, Position: at(1)}) {
			k.t.Errorf("the first message is at %+v; log %x", old, log)
		}
		k.recreate()
		fresh := k.follow("").Log()
		var tail domain.Position
		now := put()
		driverkit.Poll(k.t, func() bool {
			var err error
			tail, err = k.d.(transport.LogDriver).Tail(k.t.Context(), k.topic)
			return err == nil && tail >= now.Position
		})
		if now != (domain.Location{Log: fresh, Position: tail}) || fresh == old.Log {
			k.t.Errorf("a message of the new topic is at %+v; log %x after %x, tail %x",
				now, fresh, old.Log, string(tail))
		}
	})
}
