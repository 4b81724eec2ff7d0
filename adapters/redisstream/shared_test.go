package redisstream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// followAll follows as many topics, t0 and so on, from their tails.
func (k kit) followAll(n int) []transport.Feed {
	k.t.Helper()
	feeds := make([]transport.Feed, n)
	for i := range feeds {
		f, err := k.d.Follow(k.t.Context(), fmt.Sprint("t", i), "")
		k.must(err)
		k.t.Cleanup(func() { _ = f.Close() })
		feeds[i] = f
	}
	return feeds
}

// connections counts those of the server's clients that last sent one of the
// commands by which feeds read.
func (k kit) connections() (n int) {
	k.t.Helper()
	list, err := k.c.ClientList(k.t.Context()).Result()
	k.must(err)
	for _, line := range strings.Split(list, "\n") {
		if strings.Contains(line, "cmd=xread ") || strings.Contains(line, "cmd=xrange ") || strings.Contains(line, "cmd=xinfo") {
			n++
		}
	}
	return n
}

// number adds the numbers from first to last to a topic.
func (k kit) number(topic string, first, last int) error {
	pipe := k.c.Pipeline()
	for i := first; i <= last; i++ {
		pipe.XAdd(k.t.Context(), &redis.XAddArgs{Stream: topic, Values: []any{"data", i}})
	}
	_, err := pipe.Exec(k.t.Context())
	return err
}

// numbers reads the numbers from first to last.
func numbers(ctx context.Context, f transport.Feed, first, last int) error {
	for first <= last {
		batch, err := f.Read(ctx)
		if err != nil {
			return err
		}
		for _, e := range batch {
			if string(e.Body) != fmt.Sprint(first) {
				return fmt.Errorf("got %s instead of %d", e.Body, first)
			}
			first++
		}
	}
	return nil
}

func TestManyStreamsShareFewConnections(t *testing.T) {
	k := newKit(t)
	const own, topics, each = 3, 200, 300
	k.d = open(t, k.URL("redis-streams")+fmt.Sprintf("?read_connections=%d", own))
	feeds := k.followAll(topics)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var reading sync.WaitGroup
	for i, f := range feeds {
		reading.Go(func() {
			if err := numbers(ctx, f, 1, each); err != nil {
				t.Errorf("topic %d: %v", i, err)
			}
		})
	}
	for part := range 3 {
		for i := range topics {
			k.must(k.number(fmt.Sprint("t", i), part*each/3+1, (part+1)*each/3))
		}
	}
	reading.Wait()
	most := own + (topics-own+redisconn.FeedsPerLane-1)/redisconn.FeedsPerLane
	if n := k.connections(); n > most {
		t.Errorf("%d streams are read on %d connections, want at most %d", topics, n, most)
	}
	for _, f := range feeds {
		k.must(f.Close())
	}
	driverkit.Poll(t, func() bool { return k.connections() == 0 })
}

func TestTwoFeedsOfOneStreamBothHearAll(t *testing.T) {
	k := newSharedKit(t)
	f, g := k.follow(""), k.follow("")
	want := k.add(1, 700)
	k.want(want, k.bodies(f, 700))
	k.want(want, k.bodies(g, 700))
}

// A stream that becomes something else spoils the command for all.
func TestAKeyThatIsNoStreamAnyMoreEndsItsFeedAlone(t *testing.T) {
	k := newSharedKit(t)
	feeds := k.followAll(5)
	k.must(k.c.Set(t.Context(), "t2", "no stream", 0).Err())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := feeds[2].Read(ctx); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("the stream that is none: %v", err)
	}
	for _, i := range []int{0, 1, 3, 4} {
		k.must(k.number(fmt.Sprint("t", i), 1, 100))
		k.must(numbers(ctx, feeds[i], 1, 100))
	}
}

// The same, where the server refuses the reader one of the keys.
func TestAStreamThatMayNoLongerBeReadEndsItsFeedAlone(t *testing.T) {
	k := newSharedKit(t)
	k.must(k.c.Do(t.Context(), "ACL", "SETUSER", "node", "on", ">pw", "+@all", "~t*").Err())
	k.d = open(t, strings.Replace(k.URL("redis-streams"), "//", "//node:pw@", 1)+"?read_connections=0")
	feeds := k.followAll(5)
	k.must(k.c.Do(t.Context(), "ACL", "SETUSER", "node", "resetkeys", "~t0", "~t1", "~t3", "~t4").Err())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := feeds[2].Read(ctx); err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "closed") {
		t.Errorf("the stream that may not be read: %v", err)
	}
	for _, i := range []int{0, 1, 3, 4} {
		k.must(k.number(fmt.Sprint("t", i), 1, 100))
		err := numbers(ctx, feeds[i], 1, 100)
		if errors.Is(err, domain.ErrBusDown) { // a server that cuts users whose rights shrink
			continue
		}
		k.must(err)
	}
}

func TestAReaderThatStopsDoesNotHoldUpTheOthers(t *testing.T) {
	k := newSharedKit(t)
	feeds := k.followAll(3)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	const n = 10_000 // more than waits for a reader
	for i := range feeds {
		k.must(k.number(fmt.Sprint("t", i), 1, n))
	}
	for _, i := range []int{0, 2} {
		k.must(numbers(ctx, feeds[i], 1, n))
	}
	k.must(numbers(ctx, feeds[1], 1, n)) // and it goes on where it was
}

// A connection that ends, ends all its feeds; each goes on behind its place.
func TestFeedsOfAConnectionThatEndedGoOnWhereTheyWere(t *testing.T) {
	k := newSharedKit(t)
	bus := transport.New(k.d, transport.Config{RetryMin: time.Millisecond})
	t.Cleanup(func() { _ = bus.Close() })
	const topics, n = 20, 2000
	var reading sync.WaitGroup
	for i := range topics {
		topic := fmt.Sprint("t", i)
		batches, err := bus.Batches().Subscribe(t.Context(), topic)
		k.must(err)
		reading.Go(func() {
			for next := 1; next <= n; {
				m := <-batches
				entries, _ := domain.EntriesFrom(m.Context())
				for _, e := range entries {
					switch {
					case e.Kind == domain.Gap:
						t.Errorf("%s: a break before %d: %s", topic, next, e.Reason)
					case e.Kind == domain.Record && string(e.Body) != fmt.Sprint(next):
						t.Errorf("%s: %q instead of %d", topic, e.Body, next)
					}
					if e.Kind == domain.Record {
						next++
					}
				}
				m.Ack()
			}
		})
	}
	for part := range 20 {
		for i := range topics {
			k.must(k.number(fmt.Sprint("t", i), part*n/20+1, (part+1)*n/20))
		}
		k.must(k.c.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err())
	}
	reading.Wait()
}

// Feeds come and go on a connection that others use.
func TestFeedsJoinAndLeaveWhileOthersRead(t *testing.T) {
	k := newSharedKit(t)
	steady := k.follow("")
	done := make(chan struct{})
	const n = 3000
	var all sync.WaitGroup
	all.Go(func() {
		defer close(done)
		for i := 1; i <= n; i += 100 {
			k.add(i, i+99)
			k.read(steady, 1)
		}
	})
	for i := range 4 {
		all.Go(func() {
			topic := fmt.Sprint("t", i)
			for round := 0; ; round++ {
				select {
				case <-done:
					return
				default:
				}
				f, err := k.d.Follow(t.Context(), topic, "")
				if err != nil {
					t.Error(err)
					return
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				if err := errors.Join(k.number(topic, 1, 3), numbers(ctx, f, 1, 3), f.Close()); err != nil {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	all.Wait()
}
