package redisstream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const inboundTopic = "fanfare.orders" + domain.InboundSuffix

// leftOf trims the topic, and returns the bodies that are left and the age of the oldest.
func (k kit) leftOf(d transport.Driver) (bodies []string, oldest time.Duration) {
	k.t.Helper()
	oldest, err := d.(transport.ConsumedTrimmer).TrimConsumed(k.t.Context(), inboundTopic)
	k.must(err)
	entries, err := k.c.XRange(k.t.Context(), inboundTopic, "-", "+").Result()
	k.must(err)
	for _, e := range entries {
		bodies = append(bodies, e.Values["data"].(string))
	}
	return bodies, oldest
}

// readAs reads n entries as a member of a group, and acks them if asked to.
func (k kit) readAs(group string, n int64, ack bool) (ids []string) {
	k.t.Helper()
	got, err := k.c.XReadGroup(k.t.Context(), &redis.XReadGroupArgs{Group: group, Consumer: "c", Streams: []string{inboundTopic, ">"}, Count: n, Block: -1}).Result()
	k.must(err)
	for _, m := range got[0].Messages {
		ids = append(ids, m.ID)
	}
	if ack {
		k.must(k.c.XAck(k.t.Context(), inboundTopic, group, ids...).Err())
	}
	return ids
}

// An entry that every group has acked is removed. An entry that a group has not seen or
// not acked stays, and so do all entries behind it.
func TestWhatAllGroupsHaveAckedIsTrimmed(t *testing.T) {
	k := newKit(t)
	d := open(t, k.URL("redis-streams")+"?retention=1h")
	want := func(when string, first, last int) {
		t.Helper()
		bodies, oldest := k.leftOf(d)
		var all []string
		for n := first; n <= last; n++ {
			all = append(all, fmt.Sprint(n))
		}
		if fmt.Sprint(bodies) != fmt.Sprint(all) {
			t.Errorf("%s: %v are left, want %v", when, bodies, all)
		}
		if (oldest > 0) != (len(all) > 0) || oldest > time.Minute {
			t.Errorf("%s: the oldest is %v old, with %d left", when, oldest, len(all))
		}
	}
	want("there is no stream", 1, 0)
	for n := range 10 {
		k.must(k.c.XAdd(t.Context(), xadd(inboundTopic, fmt.Sprint(n+1))).Err())
	}
	want("there is no group", 1, 10)
	k.must(k.c.XGroupCreate(t.Context(), inboundTopic, "a", "0").Err())
	want("a group has read nothing", 1, 10)
	given := k.readAs("a", 6, false)
	want("it was given six and acked none", 1, 10)
	k.must(k.c.XAck(t.Context(), inboundTopic, "a", given[0], given[1], given[4]).Err())
	want("it acked the first two and the fifth", 3, 10)
	k.must(k.c.XGroupCreate(t.Context(), inboundTopic, "b", "0").Err())
	k.must(k.c.XAck(t.Context(), inboundTopic, "a", given[2], given[3], given[5]).Err())
	want("another group has read nothing", 3, 10)
	k.readAs("b", 2, true)
	want("the other acked two", 5, 10)
	k.readAs("b", 100, true)
	want("the other acked all", 7, 10)
	k.readAs("a", 100, true)
	want("both acked all", 1, 0)
	k.must(k.c.XAdd(t.Context(), xadd(inboundTopic, "11")).Err())
	want("one more came", 11, 11)
	if ids := k.readAs("a", 10, true); len(ids) != 1 {
		t.Errorf("a group reads on: %v", ids)
	}
	want("one of two has it", 11, 11)
}

// A node without the right to ask for groups trims by the retention all the
// same, and returns the error.
func TestWhoMayNotAskForGroupsTrimsByRetention(t *testing.T) {
	for _, left := range []string{"+xinfo|groups", "+xpending"} {
		k := newKit(t)
		k.SetUser("node", left)
		k.overdue(inboundTopic, 1000)
		k.must(k.c.XAdd(t.Context(), xadd(inboundTopic, "new")).Err())
		k.must(k.c.XGroupCreate(t.Context(), inboundTopic, "a", "0").Err())
		k.readAs("a", 1001, false)
		_, err := k.as("node", "?retention=1m").(transport.ConsumedTrimmer).TrimConsumed(t.Context(), inboundTopic)
		if n := k.length(inboundTopic); err == nil || n != 1 {
			t.Errorf("without %s %d entries are left: %v", left, n, err)
		}
	}
}

// The retention counts as well, and bounds what a group that has stopped reading holds
// back. Ids from a clock that is ahead do not make entries look consumed.
func TestWhatIsConsumedKnowsTheRetention(t *testing.T) {
	k := newKit(t)
	d := open(t, k.URL("redis-streams")+"?retention=1m")
	k.overdue(inboundTopic, 1000)
	k.must(k.c.XGroupCreate(t.Context(), inboundTopic, "a", "0").Err())
	k.must(k.c.XAdd(t.Context(), xadd(inboundTopic, "new")).Err())
	if bodies, _ := k.leftOf(d); fmt.Sprint(bodies) != "[new]" {
		t.Errorf("%d are left", len(bodies))
	}
	ahead := xadd(inboundTopic, "ahead")
	ahead.ID = fmt.Sprintf("%d-0", time.Now().Add(time.Hour).UnixMilli())
	k.must(k.c.XGroupSetID(t.Context(), inboundTopic, "a", "$").Err())
	k.must(k.c.XAdd(t.Context(), ahead).Err())
	if bodies, oldest := k.leftOf(d); fmt.Sprint(bodies) != "[ahead]" || oldest != time.Minute {
		t.Errorf("%v are left, the oldest %v old", bodies, oldest)
	}
}

// An entry that a member was given and never acked stays pending for ever, even after
// the retention has removed it. It must not keep other entries from being trimmed.
func TestPendingEntriesThatAreTrimmedHoldNothingBack(t *testing.T) {
	k := newKit(t)
	d := open(t, k.URL("redis-streams")+"?retention=1m")
	k.overdue(inboundTopic, 10)
	k.must(k.c.XGroupCreate(t.Context(), inboundTopic, "a", "0").Err())
	k.readAs("a", 10, false)
	for n := range 3 {
		k.must(k.c.XAdd(t.Context(), xadd(inboundTopic, fmt.Sprint(n+1))).Err())
	}
	k.readAs("a", 2, true)
	if bodies, _ := k.leftOf(d); fmt.Sprint(bodies) != "[3]" {
		t.Errorf("%v are left", bodies)
	}
	k.readAs("a", 1, false)
	if bodies, _ := k.leftOf(d); fmt.Sprint(bodies) != "[3]" {
		t.Errorf("one was given and not acked: %v are left", bodies)
	}
}
