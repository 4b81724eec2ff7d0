package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/test/broker"
)

const (
	manyUsers = 200
	manyRooms = 12
	perSender = 120 // letters of each publisher
)

// What is published once reaches every session of its users, on whichever node
// that is, once and in order, and nobody else.
func TestLoadBalanced(t *testing.T) {
	python := needsPython(t)
	t.Run("redis", func(t *testing.T) {
		needs(t, "redis-server")
		r := broker.Redis(t)
		c := newCluster(t, 3, r.URL("redis"), nil)
		balanced(t, c, oneOrder, map[string]publisher{
			"http": c.overHTTP, "cli": c.withCLI, "redis-cli": withRedisCLI(r, false), "python": withPython(python, r, false),
		})
	})
	t.Run("redis-streams", func(t *testing.T) {
		needs(t, "redis-server")
		r := broker.Redis(t)
		c := newCluster(t, 3, r.URL("redis-streams"), nil)
		balanced(t, c, orderOf(func() map[label]int { return logOf(t, r) }), map[string]publisher{
			"http": c.overHTTP, "redis-cli": withRedisCLI(r, true), "python": withPython(python, r, true), "watermill": withWatermill(r),
		})
	})
	t.Run("redis on a Redis Cluster", func(t *testing.T) {
		needs(t, "redis-server")
		r := broker.NewRedisCluster(t, 3)
		c := newCluster(t, 3, r.URL("redis"), nil)
		anywhere := r.Other("fanfare.orders")
		balanced(t, c, anyOrder, map[string]publisher{
			"http": c.overHTTP, "cli": c.withCLI, "redis-cli": withRedisCLI(anywhere, false),
		})
	})
	t.Run("redis-streams on a Redis Cluster", func(t *testing.T) {
		needs(t, "redis-server")
		r := broker.NewRedisCluster(t, 3)
		c := newCluster(t, 3, r.URL("redis-streams"), nil)
		master := r.Master("fanfare.orders")
		balanced(t, c, orderOf(func() map[label]int { return logOf(t, master) }), map[string]publisher{
			"http": c.overHTTP, "cli": c.withCLI, "redis-cli": withRedisCLI(master, true),
		})
	})
	t.Run("kafka", func(t *testing.T) {
		s := broker.Kafka(t)
		c := newCluster(t, 3, s.URL(), nil)
		balanced(t, c, orderOf(func() map[label]int { return logOfKafka(t, s) }), map[string]publisher{
			"http": c.overHTTP, "cli": c.withCLI, "kafka": withKafka(s),
		})
	})
	t.Run("nats", func(t *testing.T) {
		s := broker.NATS(t)
		c := newCluster(t, 3, s.URL("nats"), nil)
		balanced(t, c, anyOrder, map[string]publisher{"http": c.overHTTP, "cli": c.withCLI, "nats": withNATS(s, false)})
	})
	t.Run("jetstream", func(t *testing.T) {
		s := broker.NATS(t)
		c := newCluster(t, 3, s.URL("jetstream"), nil)
		balanced(t, c, orderOf(func() map[label]int { return streamOf(t, s) }), map[string]publisher{
			"http": c.overHTTP, "cli": c.withCLI, "jetstream": withNATS(s, true),
		})
	})
	t.Run("memory", func(t *testing.T) {
		c := newCluster(t, 1, "memory://", nil)
		balanced(t, c, oneOrder, map[string]publisher{"http": c.overHTTP, "http-too": c.overHTTP})
	})
}

// An order is what a bus promises about the order of several publishers'
// messages: it returns the first fault.
type order func(k *clients) error

func anyOrder(*clients) error { return nil }

func oneOrder(k *clients) error { return inOneOrder(k.sorted()) }

// orderOf is the order of a log that holds the letters at the given positions.
func orderOf(log func() map[label]int) order {
	return func(k *clients) error {
		places := log()
		if err := oneOrder(k); err != nil {
			return err
		}
		return k.each(func(s *session) error { return inOrderOf(s, places) })
	}
}

func balanced(t *testing.T, c *cluster, ordered order, publishers map[string]publisher) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	c.withNginx()
	k := startClients(c)
	openMany(k, random)
	spread(t, c, len(k.sessions))

	letters := make(map[label]*letter)
	var work errgroup.Group
	for name, publish := range publishers {
		mine := compose(name, random)
		for _, l := range mine {
			letters[l.label] = l
		}
		work.Go(func() error { return publish(mine) })
	}
	work.Go(func() error { return c.elsewhere() })
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	last := &letter{label: label{"last", 1}, to: []string{"*"}}
	letters[last.label] = last
	c.mustPost(t, last)
	k.hear(t, 60*time.Second, last.label)
	k.finish()

	if err := k.each(func(s *session) error { return judge(s, letters) }); err != nil {
		t.Error(err)
	}
	if err := ordered(k); err != nil {
		t.Error(err)
	}
	if err := k.each(undisturbed); err != nil {
		t.Error(err)
	}
}

// openMany opens one to four sessions for each user, every sixth a plain one,
// in up to two rooms at connect and perhaps one more later.
func openMany(k *clients, random *rand.Rand) {
	k.t.Helper()
	for u := range manyUsers {
		for i := range 1 + random.IntN(4) {
			var rooms []string
			for range random.IntN(3) {
				rooms = append(rooms, fmt.Sprintf("r%d", random.IntN(manyRooms)))
			}
			slices.Sort(rooms)
			k.open(fmt.Sprintf("u%d/%d", u, i), fmt.Sprintf("u%d", u), random.IntN(6) == 0, slices.Compact(rooms)...)
		}
	}
	k.attached()
	joined := 0
	for _, s := range k.sorted() {
		if room := fmt.Sprintf("r%d", random.IntN(manyRooms)); !s.plain && random.IntN(8) == 0 && !slices.Contains(s.rooms, room) {
			k.say(s, fmt.Sprintf(`{"op":"join","ref":"later","system":"orders","room":%q}`, room))
			s.rooms = append(s.rooms, room)
			joined++
		}
	}
	eventually(k.t, 20*time.Second, "every join is answered", func() error {
		answered := 0
		_ = k.each(func(s *session) error {
			for _, o := range s.ops {
				if o.Op == "ok" && string(o.Ref) == `"later"` {
					answered++
				}
			}
			return nil
		})
		if answered != joined {
			return fmt.Errorf("%d of %d are", answered, joined)
		}
		return nil
	})
}

// spread makes sure that every node holds its part of the sessions.
func spread(t *testing.T, c *cluster, sessions int) {
	t.Helper()
	total := 0
	for _, n := range c.nodes {
		here := int(n.metric("fanfare_sessions"))
		if total += here; here < sessions/len(c.nodes)/2 {
			t.Errorf("node %s holds %d of %d sessions", n.name, here, sessions)
		}
	}
	if total != sessions {
		t.Errorf("the nodes hold %d sessions, want %d", total, sessions)
	}
}

// compose writes a publisher's letters: to users, lists, rooms, everyone, and
// somebody who is not there.
func compose(name string, random *rand.Rand) []*letter {
	user := func() string { return fmt.Sprintf("user:u%d", random.IntN(manyUsers)) }
	room := func() string { return fmt.Sprintf("room:r%d", random.IntN(manyRooms)) }
	letters := make([]*letter, perSender)
	for i := range letters {
		l := &letter{label: label{name, i + 1}, to: []string{user()}}
		switch random.IntN(10) {
		case 0:
			l.to = []string{room()}
		case 1:
			l.to = []string{room(), user(), user(), room(), user()}
		case 2:
			l.to = []string{user(), user(), user()}
		case 3:
			l.to = []string{"user:stranger"}
		case 4:
			if i%2 == 0 {
				l.to = []string{"*"}
			}
		}
		letters[i] = l
	}
	return letters
}

// elsewhere publishes to the same users in a system that none of them is
// attached to.
func (c *cluster) elsewhere() error {
	for i := range 20 {
		l := letter{label: label{"elsewhere", i + 1}, to: []string{fmt.Sprintf("user:u%d", i), "*"}}
		if _, err := c.post("chat", l.json()); err != nil {
			return err
		}
	}
	return nil
}

// undisturbed says that a session lived on one connection and was told nothing
// but messages and answers.
func undisturbed(s *session) error {
	for _, o := range s.told() {
		if o.Op != "ok" {
			return fmt.Errorf("was told %+v", o)
		}
	}
	if s.opens != 1 || len(s.refusals) > 0 {
		return fmt.Errorf("%d connections, refusals %v", s.opens, s.refusals)
	}
	return nil
}
