package jetstream_test

import (
	"testing"

	stock "github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// A publisher remembers which log a stream is. When the stream was made anew, it notices
// that by the sequences, which begin again, or when somebody asks for the tail.
func TestPublisherNoticesThatItsStreamWasMadeAnew(t *testing.T) {
	k := newKit(t)
	// In memory, since the server has been seen to find a deleted stream's files again.
	create := func() { k.create(func(c *stock.StreamConfig) { c.Storage = stock.MemoryStorage }) }
	create()
	k.add(1, 3)
	put := func() domain.Location {
		t.Helper()
		records := driverkit.Outgoing("t", driverkit.Raw("x"))
		for _, err := range k.d.Publish(t.Context(), records) {
			k.must(err)
		}
		return records[0].At
	}
	first, old := put(), k.follow("").Log()
	if first != (domain.Location{Log: old, Position: at(4)}) {
		t.Errorf("a message is at %+v", first)
	}

	k.remove()
	create()
	if again := put(); again.Log != 0 {
		t.Errorf("the first message of a new stream is said to be at %+v", again)
	}
	fresh := k.follow("").Log()
	if now := put(); now != (domain.Location{Log: fresh, Position: at(2)}) || fresh == old {
		t.Errorf("a message of the new stream is at %+v; log %x after %x", now, fresh, old)
	}

	k.remove()
	create()
	other := open(t, k.URL("jetstream"))
	driverkit.Publish(t, other, "t", driverkit.Raw("1"), driverkit.Raw("2"), driverkit.Raw("3"))
	_, err := k.d.(transport.LogDriver).Tail(t.Context(), "t") // as nodes do now and then
	k.must(err)
	if now, last := put(), k.follow("").Log(); now != (domain.Location{Log: last, Position: at(4)}) || last == fresh {
		t.Errorf("a message of the third stream is at %x of log %x; log %x after %x",
			string(now.Position), now.Log, last, fresh)
	}
}
