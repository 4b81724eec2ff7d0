package redisstream_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/redisstream"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestMain(m *testing.M) { driverkit.VerifyNoLeaks(m) }

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
	return driverkit.Open(t, redisstream.Open, rawURL)
}

func openWith(t testing.TB, rawURL string, log *slog.Logger) transport.Driver {
	t.Helper()
	return driverkit.OpenWithLogger(t, redisstream.Open, rawURL, log)
}

func (k kit) follow(after domain.Position) transport.Feed {
	k.t.Helper()
	return driverkit.Follow(k.t, k.d, "t", after)
}

// refused follows after a position and wants a gap.
func (k kit) refused(after domain.Position, want domain.GapReason) {
	k.t.Helper()
	driverkit.WantRefused(k.t, k.d, "t", after, want)
}

// broken reads until the feed is over and wants a gap, having read n entries
// before it.
func (k kit) broken(f transport.Feed, want domain.GapReason, n int) {
	k.t.Helper()
	driverkit.WantGap(k.t, driverkit.ReadToEnd(k.t, f, n), want)
}

func (k kit) read(f transport.Feed, n int) []domain.Entry {
	k.t.Helper()
	return driverkit.ReadLog(k.t, f, n)
}

// bodies reads n entries and returns their bodies.
func (k kit) bodies(f transport.Feed, n int) []string {
	k.t.Helper()
	return driverkit.Bodies(k.read(f, n))
}

func (k kit) publish(msgs ...*message.Message) {
	k.t.Helper()
	driverkit.Publish(k.t, k.d, "t", msgs...)
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
