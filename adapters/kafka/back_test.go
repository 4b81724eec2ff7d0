package kafka_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

func (k kit) wantBack(upTo domain.Position, n int, wantStart bool, want ...string) {
	k.t.Helper()
	at, start, err := k.d.(transport.Rewinder).Back(k.t.Context(), k.topic, upTo, n)
	k.must(err)
	if start != wantStart {
		k.t.Errorf("%d back: start is %v", n, start)
	}
	k.want(want, k.bodies(k.follow(at), len(want))[:len(want)])
}

// The offsets of transactions' ends and of aborted records do not count.
func TestBackCountsRecordsAndNotOffsets(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1)
		u, err := url.Parse(k.url)
		k.must(err)
		c, err := kgo.NewClient(kgo.SeedBrokers(u.Host), kgo.TransactionalID(k.topic), kgo.DefaultProduceTopic(k.topic))
		k.must(err)
		defer c.Close()
		for i := 1; i <= 12; i++ {
			end := kgo.TryCommit
			if i%3 == 0 {
				end = kgo.TryAbort
			}
			k.must(c.BeginTransaction())
			k.must(c.ProduceSync(k.t.Context(), kgo.StringRecord(fmt.Sprint(i))).FirstErr())
			k.must(c.EndTransaction(k.t.Context(), end))
		}
		k.wantBack("", 1, false, "11")
		k.wantBack("", 3, false, "8", "10", "11")
		k.wantBack("", 8, false, "1", "2", "4")
		k.wantBack("", 9, true, "1", "2", "4")
		k.wantBack(at(3), 1, false, "2", "4") // of 1 and its end are offsets 0 and 1
		k.trim(8)
		k.wantBack("", 100, true, "5", "7")
		k.wantBack("", 5, false, "5", "7")
	})
}

// Large records are read a few at a time.
func TestBackCountsRecordsOfAnySize(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1)
		large := strings.Repeat("x", 400_000)
		for i := range 12 {
			k.produce(kgo.StringRecord(fmt.Sprint(i) + large))
		}
		k.wantBack("", 10, false, "2"+large)
	})
}

func TestBackSaysWhatIsWrong(t *testing.T) {
	k := newKit(t, fakeURL(t))
	at, start, err := k.d.(transport.Rewinder).Back(t.Context(), k.topic, "", 3)
	if err != nil || !start || at != beginning {
		t.Errorf("no topic: %x, %v, %v", string(at), start, err)
	}
	if topics, err := k.admin.ListTopics(t.Context(), k.topic); err != nil || topics.Has(k.topic) {
		t.Errorf("it has made a topic: %v", err)
	}
	k.must(k.d.Close())
	if _, _, err := k.d.(transport.Rewinder).Back(t.Context(), k.topic, "", 3); !errors.Is(err, domain.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
