package redispubsub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// connections counts those of the server's clients that subscribe.
func connections(s *broker.RedisServer) int {
	return strings.Count(s.CLI("CLIENT", "LIST", "TYPE", "pubsub"), " laddr=")
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
				return fmt.Errorf("got %q instead of %d", e.Body, first)
			}
			first++
		}
	}
	return nil
}

// number publishes the numbers from first to last.
func number(t testing.TB, d transport.Driver, topic string, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		driverkit.Publish(t, d, topic, driverkit.Raw(fmt.Sprint(i)))
	}
}

func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestManyChannelsShareFewConnections(t *testing.T) {
	s := broker.Redis(t)
	const own, topics, each = 3, 200, 20
	d := open(t, s.URL("redis")+fmt.Sprintf("?read_connections=%d", own))
	var feeds []transport.Feed
	for i := range topics {
		feeds = append(feeds, follow(t, d, fmt.Sprint("t", i)))
	}
	ctx := bounded(t)
	var reading sync.WaitGroup
	for i, f := range feeds {
		reading.Go(func() {
			if err := numbers(ctx, f, 1, each); err != nil {
				t.Errorf("topic %d: %v", i, err)
			}
		})
	}
	for n := range each {
		for i := range topics {
			driverkit.Publish(t, d, fmt.Sprint("t", i), driverkit.Raw(fmt.Sprint(n+1)))
		}
	}
	reading.Wait()
	most := own + (topics-own+redisconn.FeedsPerLane-1)/redisconn.FeedsPerLane
	if n := connections(s); n > most {
		t.Errorf("%d channels take %d connections, want at most %d", topics, n, most)
	}
	for _, f := range feeds {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	driverkit.Poll(t, func() bool { return connections(s) == 0 })
}

func TestAFeedThatClosesMakesRoomForAConnectionOfItsOwn(t *testing.T) {
	s := broker.Redis(t)
	d := open(t, s.URL("redis")+"?read_connections=1")
	for range 3 {
		f := follow(t, d, "t")
		g := follow(t, d, "u")
		if err := errors.Join(f.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		// It has the slot, so u's connection is still the only shared one.
		h := follow(t, d, "v")
		if n := connections(s); n > 3 { // f's may be on its way out
			t.Fatalf("%d connections", n)
		}
		driverkit.Poll(t, func() bool { return connections(s) == 2 })
		if err := errors.Join(g.Close(), h.Close()); err != nil {
			t.Fatal(err)
		}
		driverkit.Poll(t, func() bool { return connections(s) == 0 })
	}
}

func TestTwoFeedsOfOneChannelBothHearAll(t *testing.T) {
	s := broker.Redis(t)
	d := open(t, s.URL("redis")+shared)
	f, g := follow(t, d, "t"), follow(t, d, "t")
	number(t, d, "t", 1, 50)
	ctx := bounded(t)
	if err := errors.Join(numbers(ctx, f, 1, 50), numbers(ctx, g, 1, 50)); err != nil {
		t.Fatal(err)
	}
}

// A channel that is followed again, at once, on the same connection: what is
// published after Follow has returned comes, and nothing from before.
func TestAChannelThatIsFollowedAgainHasNoHole(t *testing.T) {
	s := broker.Redis(t)
	d := open(t, s.URL("redis")+shared)
	follow(t, d, "steady") // so that the connection stays
	ctx := bounded(t)
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() { // messages of others, from before, come all the time
		for {
			select {
			case <-stop:
				return
			default:
				driverkit.Publish(t, d, "t", driverkit.Raw("noise"))
			}
		}
	})
	for round := range 200 {
		f := follow(t, d, "t")
		driverkit.Publish(t, d, "t", driverkit.Raw(fmt.Sprint(round)))
		for found := false; !found; {
			batch, err := f.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range batch {
				found = found || string(e.Body) == fmt.Sprint(round)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	publishing.Wait()
}

// Who gives up waiting for a confirmation leaves nothing behind that could
// confirm the next one's subscription too early.
func TestAnAbandonedSubscriptionDoesNotSpoilTheNext(t *testing.T) {
	s := broker.Redis(t)
	d := open(t, s.URL("redis")+shared)
	steady := follow(t, d, "steady")
	s.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Follow(ctx, "t", ""); err == nil {
		t.Fatal("a server that is frozen confirmed")
	}
	s.Thaw()
	f := follow(t, d, "t")
	number(t, d, "t", 1, 10)
	number(t, d, "steady", 1, 10)
	if err := errors.Join(numbers(bounded(t), f, 1, 10), numbers(bounded(t), steady, 1, 10)); err != nil {
		t.Fatal(err)
	}
}

func TestAChannelThatMayNotBeReadIsRefusedAlone(t *testing.T) {
	s := broker.Redis(t)
	s.CLI("ACL", "SETUSER", "node", "on", ">pw", "+@all", "~*", "resetchannels", "&a*")
	d := open(t, strings.Replace(s.URL("redis"), "//", "//node:pw@", 1)+shared)
	f := follow(t, d, "a1")
	if _, err := d.Follow(t.Context(), "b", ""); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Fatalf("a channel that may not be read: %v", err)
	}
	g := follow(t, d, "a2")
	number(t, d, "a1", 1, 5)
	number(t, d, "a2", 1, 5)
	if err := errors.Join(numbers(bounded(t), f, 1, 5), numbers(bounded(t), g, 1, 5)); err != nil {
		t.Fatal(err)
	}
}

// A reader that stops is over when it is too far behind. It is told what had
// come until then; the others of its connection hear everything.
func TestAReaderThatStopsIsOverAlone(t *testing.T) {
	s := broker.Redis(t)
	d := open(t, s.URL("redis")+shared)
	slow, quick := follow(t, d, "slow"), follow(t, d, "quick")
	big := strings.Repeat("x", 1<<20)
	const n = 40 // more than may wait
	for i := 1; i <= n; i++ {
		driverkit.Publish(t, d, "slow", driverkit.Raw(big))
		number(t, d, "quick", i, i)
	}
	if err := numbers(bounded(t), quick, 1, n); err != nil {
		t.Fatal(err)
	}
	ctx, read := bounded(t), 0
	for {
		batch, err := slow.Read(ctx)
		if err != nil {
			if !errors.Is(err, domain.ErrBusDown) || !strings.Contains(err.Error(), "keep up") {
				t.Fatalf("error %v", err)
			}
			break
		}
		read += len(batch)
	}
	if read == 0 || read == n {
		t.Fatalf("%d of %d messages had come", read, n)
	}
	again := follow(t, d, "slow")
	number(t, d, "slow", 1, 3)
	if err := numbers(ctx, again, 1, 3); err != nil {
		t.Fatal(err)
	}
}

// However many readers of a connection stop, what waits for them is bounded.
// Who reads hears everything.
func TestReadersThatStopTogetherDoNotTakeAMultiple(t *testing.T) {
	s := broker.Redis(t)
	d := open(t, s.URL("redis")+shared)
	const topics, n = 12, 5 // 60 MiB
	var slow []transport.Feed
	for i := range topics {
		slow = append(slow, follow(t, d, fmt.Sprint("slow", i)))
	}
	quick := follow(t, d, "quick")
	big := strings.Repeat("x", 1<<20)
	for i := 1; i <= n; i++ {
		for j := range topics {
			driverkit.Publish(t, d, fmt.Sprint("slow", j), driverkit.Raw(big))
		}
		number(t, d, "quick", i, i)
	}
	if err := numbers(bounded(t), quick, 1, n); err != nil {
		t.Fatal(err)
	}
	total, over := 0, 0
	for i, f := range slow {
		for read := 0; read < n; {
			batch, err := f.Read(bounded(t))
			if err != nil {
				if !errors.Is(err, domain.ErrBusDown) || !strings.Contains(err.Error(), "keep up") {
					t.Fatalf("slow%d: %v", i, err)
				}
				over++
				break
			}
			read, total = read+len(batch), total+len(batch)
		}
	}
	if total == 0 || total > 32 || over == 0 || over == topics {
		t.Errorf("%d MiB had waited, and %d of %d feeds were over", total, over, topics)
	}
	// What is read is not counted any more.
	again := follow(t, d, "again")
	for range 3 {
		for range 15 {
			driverkit.Publish(t, d, "again", driverkit.Raw(big))
		}
		for got := 0; got < 15; {
			batch, err := again.Read(bounded(t))
			if err != nil {
				t.Fatal(err)
			}
			got += len(batch)
		}
	}
}
