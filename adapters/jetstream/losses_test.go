package jetstream_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// What was trimmed while a group stood still is counted and logged once.
func TestWhatAGroupHasLostIsCounted(t *testing.T) {
	k := newKit(t)
	k.add(1, 10)
	read := func(n int) (d transport.Driver, log *driverkit.Log) {
		d, log = openLogged(t, k.URL("jetstream"))
		group, err := d.(transport.GroupDriver).Group("g")
		k.must(err)
		in, err := group.Subscribe(t.Context(), "t")
		k.must(err)
		for range n {
			m := <-in
			m.Ack()
		}
		k.must(group.Close())
		return d, log
	}
	d, _ := read(4) // one more may have been delivered, and given back
	if n := d.(transport.LossCounter).Lost(); n != 0 {
		t.Errorf("%d are lost at first", n)
	}
	config := k.stream().CachedInfo().Config
	config.MaxMsgs = 2
	_, err := k.js().UpdateStream(t.Context(), config)
	k.must(err)
	d, log := read(2)
	if n := d.(transport.LossCounter).Lost(); n < 3 || n > 4 {
		t.Errorf("%d are lost", n)
	}
	if n := len(log.Lines("messages are lost to a consumer group")); n != 1 {
		t.Errorf("%d lines say so: %s", n, log)
	}
	if d, _ := read(0); d.(transport.LossCounter).Lost() != 0 {
		t.Error("another member counts them again")
	}
}
