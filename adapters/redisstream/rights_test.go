package redisstream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

const rightsTopic = "fanfare.orders"

// as opens a driver as one of the users that docs/operating.md lists.
func (k kit) as(user, query string) transport.Driver {
	return worker{k, new(driverkit.Log)}.as(user, query)
}

// A worker is a kit with a log.
type worker struct {
	kit
	log *driverkit.Log
}

func (w worker) as(user, query string) transport.Driver {
	return openWith(w.t, "redis-streams://"+user+":secret@"+w.Addr()+"/0"+query, w.log.Logger())
}

// each runs a user's work with all its rights, and then without each single one of
// them. The first must succeed, the others must fail and say how to allow it.
func each(t *testing.T, user string, without []string, work func(w worker) error) {
	for _, left := range append([]string{""}, without...) {
		t.Run(user+" without "+left, func(t *testing.T) {
			t.Parallel()
			w := worker{newKit(t), &driverkit.Log{}}
			w.SetUser(user, left)
			err := work(w)
			switch {
			case left == "" && err != nil:
				t.Errorf("the documented rights do not do: %v", err)
			case left != "" && err == nil:
				t.Errorf("%s is not needed", left)
			case left != "" && !errors.Is(err, domain.ErrBusDown):
				t.Errorf("the error is no error of the bus: %v", err)
			case left != "":
				if said := fmt.Sprint(err, w.log); !strings.Contains(said, "ACL SETUSER "+user+" "+advised(left)) {
					t.Errorf("nobody says that %s is missing: %s", left, said)
				}
			}
		})
	}
}

// advised returns how the advice to give a right begins. A right for keys is named for
// the one key that is needed.
func advised(right string) string {
	if i := strings.IndexByte(right, '~'); i >= 0 {
		return "~" + rightsTopic
	}
	return right
}

// hear waits until a subscription of batches has received the bodies.
func hear(ctx context.Context, batches <-chan *message.Message, bodies ...string) error {
	for len(bodies) > 0 {
		select {
		case m, ok := <-batches:
			if !ok {
				return fmt.Errorf("%w: the subscription is over", domain.ErrBusDown)
			}
			entries, _ := domain.EntriesFrom(m.Context())
			for _, e := range entries {
				switch {
				case e.Kind == domain.Gap:
					return fmt.Errorf("a gap: %s", e.Reason)
				case e.Kind == domain.Record && len(bodies) > 0 && string(e.Body) == bodies[0]:
					bodies = bodies[1:]
				}
			}
			m.Ack()
		case <-ctx.Done():
			return fmt.Errorf("%w: %q did not come", domain.ErrBusDown, bodies[0])
		}
	}
	return nil
}

// A node needs exactly the rights that docs/operating.md lists.
func TestANodeNeedsTheDocumentedRights(t *testing.T) {
	rights := append(broker.Grants(t, "node"), "~fanfare.*")
	for _, query := range []string{"?retention=1m", "?retention=1m&read_connections=0"} {
		each(t, "node", rights, func(w worker) error { return nodeWork(w, w.as("node", query)) })
	}
}

// nodeWork does what a node does on its bus.
func nodeWork(k worker, d transport.Driver) error {
	ctx, cancel := context.WithTimeout(k.t.Context(), 2*time.Second)
	defer cancel()
	bus := transport.New(d, transport.Config{RetryMax: 50 * time.Millisecond, Logger: k.log.Logger()})
	defer func() { _ = bus.Close() }()
	k.must(k.c.XAdd(ctx, xadd(rightsTopic, "before")).Err())

	var errs []error
	check := func(err error) { errs = append(errs, transportError(err)) }
	check(d.Ping(ctx))
	check(bus.Publish(rightsTopic, message.NewMessage("1", []byte("one"))))
	check(bus.Publish(rightsTopic+domain.InboundSuffix, message.NewMessage("1", []byte("in"))))
	// Read from a time in the past, as a node does when it starts, and then go on.
	batches, err := bus.BatchesSince(time.Minute).Subscribe(ctx, rightsTopic)
	check(err)
	if err == nil {
		check(bus.Publish(rightsTopic, message.NewMessage("2", []byte("two"))))
		check(hear(ctx, batches, "before", "one", "two"))
	}
	// Read the log again, as for a session that comes back, and ask for its tail.
	_, err = bus.Scan(ctx, rightsTopic, "", time.Now().Add(-time.Minute), func([]domain.Entry) bool { return true })
	check(err)
	for _, topic := range []string{rightsTopic, "fanfare.empty"} {
		_, err := d.(transport.LogDriver).Tail(ctx, topic)
		check(err)
		check(d.(transport.Trimmer).Trim(ctx, topic))
	}
	// Trim an inbound topic while a group has not acked everything.
	const inbound = rightsTopic + domain.InboundSuffix
	if k.c.Exists(ctx, inbound).Val() == 1 {
		k.must(k.c.XGroupCreate(ctx, inbound, "g", "0").Err())
		k.must(k.c.Do(ctx, "XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", inbound, ">").Err())
		_, err = bus.Unconsumed(ctx, inbound)
		check(err)
	}
	return errors.Join(errs...)
}

// A publisher needs fewer rights.
func TestAPublisherNeedsTheDocumentedRights(t *testing.T) {
	for user, query := range map[string]string{"publisher": "", "trimmer": "?retention=1m"} {
		each(t, user, append(broker.Grants(t, user), keysOf(t, user)), func(k worker) error {
			d := k.as(user, query)
			bus := transport.New(d, transport.Config{PublishOnly: true})
			err := bus.Publish(rightsTopic, message.NewMessage("1", []byte("one")))
			if user == "trimmer" {
				err = errors.Join(err, transportError(d.(transport.Trimmer).Trim(k.t.Context(), rightsTopic)))
			}
			return errors.Join(err, bus.Close())
		})
	}
}

// keysOf returns a user's only right for keys.
func keysOf(t *testing.T, user string) string {
	i := slices.IndexFunc(broker.ACLs(t)[user], func(r string) bool { return strings.Contains(r, "~") })
	return broker.ACLs(t)[user][i]
}

// A member of a consumer group needs other rights. Removing members that are gone, which
// happens every few minutes, is not tested here.
func TestAConsumerNeedsTheDocumentedRights(t *testing.T) {
	const inbound = rightsTopic + domain.InboundSuffix
	rights := []string{"+xgroup|create", "+xreadgroup", "+xack", "+xpending", "+xclaim", "~fanfare.*.inbound"}
	each(t, "consumer", rights, func(k worker) error {
		ctx, cancel := context.WithTimeout(k.t.Context(), 4*time.Second)
		defer cancel()
		for _, body := range []string{"one", "two"} {
			k.must(k.c.XAdd(ctx, xadd(inbound, body)).Err())
		}
		// A member has read one of them and died.
		k.must(k.c.XGroupCreate(ctx, inbound, "g", "0").Err())
		k.must(k.c.Do(ctx, "XREADGROUP", "GROUP", "g", "dead", "COUNT", "1", "STREAMS", inbound, ">").Err())

		group, err := k.as("consumer", "?claim_after=1s").(transport.GroupDriver).Group("g")
		k.must(err)
		defer func() { _ = group.Close() }()
		messages, err := group.Subscribe(ctx, inbound)
		if err != nil {
			return transportError(err)
		}
		for seen := map[string]bool{}; len(seen) < 2; {
			select {
			case m := <-messages:
				seen[string(m.Payload)] = true
				m.Ack()
			case <-ctx.Done():
				return fmt.Errorf("%w: only %v came", domain.ErrBusDown, seen)
			}
		}
		for tick := time.Tick(20 * time.Millisecond); ctx.Err() == nil; <-tick {
			if pending, err := k.c.XPending(ctx, inbound, "g").Result(); err == nil && pending.Count == 0 {
				return nil
			}
		}
		return fmt.Errorf("%w: the group still waits for acks", domain.ErrBusDown)
	})
}

func xadd(topic, body string) *redis.XAddArgs {
	return &redis.XAddArgs{Stream: topic, Values: []string{"data", body}}
}

// A member that may not ack any more keeps trying and logs it. Once it may ack again,
// nothing is lost.
func TestAGroupThatMayNotConfirmSaysSo(t *testing.T) {
	const inbound = rightsTopic + domain.InboundSuffix
	k := newKit(t)
	k.SetUser("consumer")
	log := &driverkit.Log{}
	group, err := openWith(t, "redis-streams://consumer:secret@"+k.Addr()+"/0", log.Logger()).(transport.GroupDriver).Group("g")
	k.must(err)
	messages, err := group.Subscribe(t.Context(), inbound)
	k.must(err)
	next := func(want string) {
		t.Helper()
		select {
		case m := <-messages:
			if string(m.Payload) != want {
				t.Fatalf("got %q, want %q", m.Payload, want)
			}
			m.Ack()
		case <-time.After(20 * time.Second):
			t.Fatalf("%q did not come", want)
		}
	}
	k.acl("SETUSER", "consumer", "-xack")
	for _, body := range []string{"one", "two"} {
		k.must(k.c.XAdd(t.Context(), xadd(inbound, body)).Err())
	}
	next("one")
	driverkit.Poll(t, func() bool { return len(log.Lines("cannot confirm", "NOPERM", "group=g")) == 1 })
	k.acl("SETUSER", "consumer", "+xack")
	next("two")
	driverkit.Poll(t, func() bool { return k.c.XPending(t.Context(), inbound, "g").Val().Count == 0 })
	k.must(group.Close())
}

// A member that lacks a right which only spares it losses and remains of dead members
// works, and says once what it does not do and how to allow it.
func TestAGroupSaysWhatItDoesWithout(t *testing.T) {
	const inbound = rightsTopic + domain.InboundSuffix
	for _, right := range []string{"+xinfo|stream", "+xinfo|groups", "+xgroup|delconsumer"} {
		t.Run(right, func(t *testing.T) {
			t.Parallel()
			w := worker{newKit(t), &driverkit.Log{}}
			w.SetUser("consumer", right)
			group, err := w.as("consumer", "?claim_after=1s").(transport.GroupDriver).Group("g")
			w.must(err)
			messages, err := group.Subscribe(t.Context(), inbound)
			w.must(err)
			w.must(w.c.XAdd(t.Context(), xadd(inbound, "one")).Err())
			(<-messages).Ack()
			// It looks for losses every second.
			driverkit.Poll(t, func() bool {
				info, err := w.c.XInfoConsumers(t.Context(), inbound, "g").Result()
				return err == nil && len(info) == 1 && info[0].Pending == 0
			})
			w.must(group.Close())
			if n := len(w.log.Lines("level=WARN", "ACL SETUSER consumer "+right)); n != 1 {
				t.Errorf("%d warnings: %s", n, w.log)
			}
			if w.log.Contains("bus is down") {
				t.Errorf("the bus is not down: %s", w.log)
			}
		})
	}
}

// What the server refuses for good is no bus that is down, whatever was asked.
func TestARefusedGroupSaysWhatToAllow(t *testing.T) {
	const inbound = rightsTopic + domain.InboundSuffix
	k := newKit(t)
	for _, c := range []struct{ without, want string }{
		{"+xgroup|create", "ACL SETUSER consumer +xgroup|create"},
		{"~fanfare.*.inbound", "ACL SETUSER consumer ~" + inbound},
	} {
		k.SetUser("consumer", c.without)
		w := worker{k, &driverkit.Log{}}
		bus := transport.New(w.as("consumer", ""), transport.Config{})
		group, err := bus.Group("g")
		k.must(err)
		_, err = group.Subscribe(t.Context(), inbound)
		if !driverkit.Says(err, c.want, domain.ErrBusRefused, domain.ErrBusDown) || strings.Contains(err.Error(), "bus is down") {
			t.Errorf("without %s: %v", c.without, err)
		}
		k.must(group.Close())
		k.must(bus.Close())
	}
}

// transportError returns what Transport makes of a driver's error.
func transportError(err error) error {
	if err == nil || errors.Is(err, domain.ErrBusDown) {
		return err
	}
	return fmt.Errorf("%w: %w", domain.ErrBusDown, err)
}

// Without a right that only a cluster needs, a node says which it is. What tells it which
// streams have changed it can do without.
func TestANodeOfAClusterNeedsTheDocumentedRights(t *testing.T) {
	t.Parallel()
	c := broker.NewRedisCluster(t, 1)
	at := strings.Replace(c.URL("redis-streams"), "://", "://cluster-node:secret@", 1)
	for right, works := range map[string]bool{
		"+cluster|slots": false, "+info": false, "+client|id": true, "+client|tracking": true,
		"+subscribe": true, "&__redis__:invalidate": true,
	} {
		c.SetUser("cluster-node", right)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		log := &driverkit.Log{}
		d := openWith(t, at+"&read_connections=0", log.Logger())
		bus := transport.New(d, transport.Config{Logger: log.Logger()})
		batches, err := bus.Batches().Subscribe(ctx, rightsTopic)
		if works && err == nil {
			err = errors.Join(bus.Publish(rightsTopic, message.NewMessage("1", []byte("one"))), hear(ctx, batches, "one"))
		}
		if (err == nil) != works {
			t.Errorf("without %s: %v", right, err)
		}
		if said := fmt.Sprint(err, log); !strings.Contains(said, "ACL SETUSER cluster-node "+right) {
			t.Errorf("nobody says that %s is missing: %s", right, said)
		}
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	}
}
