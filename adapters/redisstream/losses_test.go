package redisstream_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/redisstream"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// What a member that died held is taken over at once when its time has come, however much.
func TestAllThatADeadMemberHeldIsTakenOverAtOnce(t *testing.T) {
	k := newKit(t)
	const n = 200
	for range n {
		k.must(k.c.XAdd(t.Context(), &redis.XAddArgs{Stream: inboundTopic, Values: []any{"data", "x"}}).Err())
	}
	k.must(k.c.XGroupCreate(t.Context(), inboundTopic, "g", "0").Err())
	k.readAs("g", n, false)
	d := open(t, k.URL("redis-streams")+"?claim_after=4s")
	group, err := d.(transport.WindowGroupDriver).GroupWindow("g", n)
	k.must(err)
	defer func() { k.must(group.Close()) }()
	in, err := group.Subscribe(t.Context(), inboundTopic)
	k.must(err)
	m := <-in
	m.Ack()
	began := time.Now()
	for range n - 1 {
		m := <-in
		m.Ack()
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

// What was trimmed before a group has read it, and what a member that died held, is counted
// and logged; what was acked is not, nor what other groups have lost.
func TestWhatAGroupHasLostIsCounted(t *testing.T) {
	k := newKit(t)
	add := func(first, last int) {
		for n := first; n <= last; n++ {
			k.must(k.c.XAdd(t.Context(), &redis.XAddArgs{
				Stream: inboundTopic, ID: strconv.Itoa(n) + "-0", Values: []any{"data", n},
			}).Err())
		}
	}
	trim := func(before int) {
		k.must(k.c.XTrimMinID(t.Context(), inboundTopic, strconv.Itoa(before)+"-0").Err())
	}
	d, log := driverkit.OpenLogged(t, redisstream.Open, k.URL("redis-streams")+"?claim_after=1s")
	lost := func() uint64 { return d.(transport.LossCounter).Lost() }
	k.must(k.c.XGroupCreateMkStream(t.Context(), inboundTopic, "g", "0").Err())
	add(1, 10)
	k.readAs("g", 3, true)  // 1 to 3 are acked
	k.readAs("g", 2, false) // 4 and 5 are held by a member that is dead
	trim(9)                 // 6 to 8 were never read
	group, err := d.(transport.GroupDriver).Group("g")
	k.must(err)
	defer func() { k.must(group.Close()) }()
	in, err := group.Subscribe(t.Context(), inboundTopic)
	k.must(err)
	for range 2 {
		m := <-in
		m.Ack()
	}
	driverkit.Poll(t, func() bool { return lost() == 5 })
	if n := len(log.Lines("messages are lost to a consumer group")); n != 3 { // it claims one at a time
		t.Errorf("%d lines say so", n)
	}
	add(11, 20)
	for range 10 {
		m := <-in
		m.Ack()
	}
	trim(100)
	<-time.After(2500 * time.Millisecond) // it has looked again
	if n := lost(); n != 5 {
		t.Errorf("%d are lost in the end", n)
	}
}
