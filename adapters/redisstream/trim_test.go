package redisstream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// overdue fills a stream with entries that are older than a minute.
func (k kit) overdue(topic string, n int) {
	k.t.Helper()
	old := time.Now().Add(-2 * time.Minute).UnixMilli()
	pipe := k.c.Pipeline()
	for i := range n {
		pipe.Do(k.t.Context(), "XADD", topic, fmt.Sprintf("%d-%d", old, i+1), "data", "1")
	}
	_, err := pipe.Exec(k.t.Context())
	k.must(err)
}

func (k kit) length(topic string) int64 {
	n, err := k.c.XLen(k.t.Context(), topic).Result()
	k.must(err)
	return n
}

// A publisher trims the streams that it publishes to even if nobody follows them: that
// of a system, and the inbound one, which only groups read. A publisher whose URL names
// no retention does not trim, because the nodes may keep more than the default.
func TestAStreamThatNobodyFollowsIsTrimmedByWhoPublishes(t *testing.T) {
	for _, c := range []struct {
		name, query string
		only        bool
		trimmed     bool
	}{
		{"a node", "?retention=1m", false, true},
		{"a publisher that names a retention", "?retention=1m", true, true},
		{"a publisher that names none", "", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKit(t)
			bus := transport.New(open(t, k.URL("redis-streams")+c.query), transport.Config{PublishOnly: c.only})
			for _, topic := range []string{"t", "t" + domain.InboundSuffix} {
				k.overdue(topic, 1000)
				k.must(bus.Publish(topic, message.NewMessage("1", []byte("1"))))
			}
			k.must(bus.Close()) // it trims what it has not trimmed yet
			for _, topic := range []string{"t", "t" + domain.InboundSuffix} {
				if n := k.length(topic); (n <= 100) != c.trimmed || n == 0 { // up to a node of the stream stays
					t.Errorf("%s: %d entries are left", topic, n)
				}
			}
		})
	}
}
