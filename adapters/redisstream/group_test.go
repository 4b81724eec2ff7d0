package redisstream_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// A reply that a member has not seen when it ends does not keep its entries from the other
// members: they get them at once, not after claim_after.
func TestWhatAMemberHasNeverSeenIsGivenBackAtItsEnd(t *testing.T) {
	k := newKit(t)
	d := open(t, k.URL("redis-streams")+"?claim_after=1h")
	first, err := d.(transport.WindowGroupDriver).GroupWindow("service", 1)
	k.must(err)
	in, err := first.Subscribe(t.Context(), inboundTopic)
	k.must(err)
	for _, body := range []string{"seen", "never seen"} {
		k.must(k.c.XAdd(t.Context(), xadd(inboundTopic, body)).Err())
	}
	<-in // it holds one, and reads no more
	members, err := k.c.XInfoConsumers(t.Context(), inboundTopic, "service").Result()
	if err != nil || len(members) != 1 {
		t.Fatalf("the members are %v (%v)", members, err)
	}
	lost, err := k.c.XReadGroup(t.Context(), &redis.XReadGroupArgs{
		Group: "service", Consumer: members[0].Name, Streams: []string{inboundTopic, ">"}, Count: 1, Block: -1,
	}).Result()
	if err != nil || len(lost[0].Messages) != 1 {
		t.Fatalf("as the member: %v (%v)", lost, err)
	}
	k.must(first.Close())

	second, err := d.(transport.WindowGroupDriver).GroupWindow("service", 8)
	k.must(err)
	t.Cleanup(func() { k.must(second.Close()) })
	in, err = second.Subscribe(t.Context(), inboundTopic)
	k.must(err)
	for _, want := range []string{"seen", "never seen"} {
		select {
		case m := <-in:
			if string(m.Payload) != want {
				t.Errorf("got %q, want %q", m.Payload, want)
			}
			m.Ack()
		case <-time.After(20 * time.Second):
			t.Fatalf("%q does not come", want)
		}
	}
}
