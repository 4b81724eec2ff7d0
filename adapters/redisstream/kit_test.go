package redisstream_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/redisstream"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
)

// Watermill's suite reads from several subscribers through a multiplier of its
// own, which leaves its goroutines behind.
func TestMain(m *testing.M) {
	const multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(multiplier+".func2"), goleak.IgnoreAnyFunction(multiplier+".func3"))
}

// A kit is a server, our driver on it, and a foreign client.
type kit struct {
	t testing.TB
	*broker.RedisServer
	d transport.Driver
	c *redis.Client
}

func newKit(t testing.TB) kit {
	s := broker.Redis(t)
	return kit{t, s, open(t, s.URL("redis-streams")), s.Client()}
}

// newSharedKit is newKit of a driver whose feeds all share connections.
func newSharedKit(t testing.TB) kit {
	s := broker.Redis(t)
	return kit{t, s, open(t, s.URL("redis-streams")+"?read_connections=0"), s.Client()}
}

// eachWay runs a test with feeds that have connections of their own, and with
// feeds that share them.
func eachWay(t *testing.T, name string, test func(t *testing.T, k kit)) {
	t.Run(name+" own connection", func(t *testing.T) { test(t, newKit(t)) })
	t.Run(name+" shared connection", func(t *testing.T) { test(t, newSharedKit(t)) })
}

func open(t testing.TB, rawURL string) transport.Driver {
	t.Helper()
	return openWith(t, rawURL, slog.New(slog.DiscardHandler))
}

func openWith(t testing.TB, rawURL string, log *slog.Logger) transport.Driver {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	d, err := redisstream.Open(t.Context(), u, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func (k kit) follow(after domain.Position) transport.Feed {
	k.t.Helper()
	f, err := k.d.Follow(k.t.Context(), "t", after)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = f.Close() })
	return f
}

// refused follows after a position and wants a break.
func (k kit) refused(after domain.Position, want domain.GapReason) {
	k.t.Helper()
	f, err := k.d.Follow(k.t.Context(), "t", after)
	if err == nil {
		_ = f.Close()
	}
	wantBreak(k.t, err, want)
}

// broken reads until the feed is over and wants a break, having read n
// entries before it.
func (k kit) broken(f transport.Feed, want domain.GapReason, n int) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 20*time.Second)
	defer cancel()
	for {
		batch, err := f.Read(ctx)
		if err != nil {
			wantBreak(k.t, err, want)
			if n != 0 {
				k.t.Fatalf("%d entries fewer than wanted before the break", n)
			}
			if _, again := f.Read(ctx); again == nil {
				k.t.Fatal("a feed went on after its break")
			}
			return
		}
		n -= len(batch)
	}
}

func wantBreak(t testing.TB, err error, want domain.GapReason) {
	t.Helper()
	var lost *transport.GapError
	if !errors.As(err, &lost) || lost.Reason != want {
		t.Fatalf("got %v, want a break: %s", err, want)
	}
	t.Log(err)
}

func (k kit) read(f transport.Feed, n int) []domain.Entry {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 20*time.Second)
	defer cancel()
	var all []domain.Entry
	for len(all) < n {
		batch, err := f.Read(ctx)
		if err != nil {
			k.t.Fatalf("after %d of %d entries: %v", len(all), n, err)
		}
		if len(batch) == 0 || len(batch) > transport.BatchSize {
			k.t.Fatalf("a batch of %d", len(batch))
		}
		all = append(all, batch...)
	}
	for i := 1; i < len(all); i++ {
		if all[i-1].Position >= all[i].Position {
			k.t.Fatalf("positions do not rise at %d", i)
		}
	}
	return all
}

// bodies reads n entries and returns their bodies.
func (k kit) bodies(f transport.Feed, n int) []string {
	k.t.Helper()
	var all []string
	for _, e := range k.read(f, n) {
		all = append(all, string(e.Body))
	}
	return all
}

// add adds entries whose bodies are the given numbers, from first to last.
func (k kit) add(first, last int) []string {
	k.t.Helper()
	pipe := k.c.Pipeline()
	var want []string
	for i := first; i <= last; i++ {
		pipe.XAdd(k.t.Context(), &redis.XAddArgs{Stream: "t", Values: []string{"data", fmt.Sprint(i)}})
		want = append(want, fmt.Sprint(i))
	}
	if _, err := pipe.Exec(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
	return want
}

// addAs adds entries with ids of our choice.
func (k kit) addAs(ids ...string) {
	k.t.Helper()
	for _, id := range ids {
		k.must(k.c.XAdd(k.t.Context(), &redis.XAddArgs{Stream: "t", ID: id, Values: []string{"data", id}}).Err())
	}
}

func (k kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// trim leaves the newest keep entries.
func (k kit) trim(keep int64) {
	k.t.Helper()
	k.must(k.c.XTrimMaxLen(k.t.Context(), "t", keep).Err())
}

func (k kit) publish(msgs ...*message.Message) {
	k.t.Helper()
	k.must(errors.Join(k.d.Publish(k.t.Context(), on("t", msgs...))...))
}

func on(topic string, msgs ...*message.Message) []transport.Outgoing {
	records := make([]transport.Outgoing, len(msgs))
	for i, m := range msgs {
		records[i] = transport.Outgoing{Topic: topic, Message: m}
	}
	return records
}

func poll(t testing.TB, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Error("it did not happen in time")
			return
		}
	}
}

type ctx = context.Context

// calls says how often a command was called so far.
func (k kit) calls(command string) (n int) {
	info, err := k.c.Info(context.Background(), "commandstats").Result()
	if _, rest, ok := strings.Cut(info, "cmdstat_"+command+":calls="); ok && err == nil {
		_, _ = fmt.Sscanf(rest, "%d", &n)
	}
	return n
}

// idOf is a position as redis-cli writes it.
func idOf(p domain.Position) string {
	b := []byte(p)
	return fmt.Sprintf("%d-%d", binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]))
}
