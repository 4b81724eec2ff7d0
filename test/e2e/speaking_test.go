package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/test/broker"
)

// What clients send to a room reaches its members on every node, in order and with
// the sender's name. What they send to the business system reaches that system,
// which reads with the subscriber of watermill-redisstream.
func TestClientsSpeak(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	c := newCluster(t, 2, r.URL("redis-streams"), nil)
	c.withNginx()
	k := startClients(c)
	for i := range 20 {
		k.open(fmt.Sprintf("u%d", i), fmt.Sprintf("u%d", i), i%5 == 0, "hall")
	}
	k.attached()

	const speakers, sayings = 4, 30
	letters := make(map[label]*letter)
	var speaking errgroup.Group
	for i := range speakers {
		user := fmt.Sprintf("speaker%d", i)
		mine := make([]*letter, sayings)
		for n := range mine {
			mine[n] = &letter{label: label{user, n + 1}, to: []string{"room:hall"}}
			letters[mine[n].label] = mine[n]
		}
		conn := c.dial(t, user, "systems=orders")
		speaking.Go(func() error { return speak(conn, mine) })
	}
	if err := speaking.Wait(); err != nil {
		t.Fatal(err)
	}
	last := &letter{label: label{"last", 1}, to: []string{"*"}}
	letters[last.label] = last
	c.mustPost(t, last)
	k.hear(t, 30*time.Second, last.label)
	asks := k.open("asker", "asker", false)
	k.open("plain asker", "asker", true)
	k.attached()
	k.say(asks, `{"op":"send","ref":"q","system":"orders","type":"question","data":{"p":"asker","n":1}}`)
	k.say(k.sessions["plain asker"], `{"p":"asker","n":2}`)
	wantInbound(t, r, label{"asker", 1}, label{"asker", 2})
	k.finish()

	err := k.each(func(s *session) error {
		if s.user == "asker" {
			return nil // it came late
		}
		for _, m := range s.messages {
			if from := m.P; !s.plain && from != "last" && m.from != from {
				return fmt.Errorf("%v is said to be from %q", m.label, m.from)
			}
		}
		return judge(s, letters)
	})
	if err != nil {
		t.Error(err)
	}
}

// speak sends letters with the op send, each when the last was taken.
func speak(conn *websocket.Conn, letters []*letter) error {
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	for _, l := range letters {
		err := conn.WriteJSON(map[string]any{"op": "send", "ref": l.N, "system": "orders", "to": l.to[0], "data": l.data()})
		for taken := false; err == nil && !taken; {
			var frame []byte
			if _, frame, err = conn.ReadMessage(); err != nil {
				break
			}
			var o op
			if o, err = readOp(frame); o.Op == "error" {
				err = fmt.Errorf("%v: %s", l.label, frame)
			}
			taken, l.id = o.Op == "ok", o.ID
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wantInbound reads what the asker said to orders, as its service would.
func wantInbound(t *testing.T, r *broker.RedisServer, wants ...label) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	sub, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client:        redis.NewClient(&redis.Options{Addr: r.Addr(), Protocol: 2, DisableIdentity: true}),
		ConsumerGroup: "shop",
	}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	messages, err := sub.Subscribe(ctx, "fanfare.orders.inbound")
	if err != nil {
		t.Fatal(err)
	}
	for left := wants; len(left) > 0; {
		m, ok := <-messages
		if !ok {
			t.Fatalf("%v have not arrived at the business system", left)
		}
		m.Ack()
		var e struct {
			From, Session, ID string
			Data              json.RawMessage
		}
		if err := json.Unmarshal(m.Payload, &e); err != nil {
			t.Fatalf("inbound: %s: %v", m.Payload, err)
		}
		at := slices.Index(left, readLabel(e.Data))
		if at < 0 || e.From != "asker" || e.Session == "" || e.ID == "" {
			t.Fatalf("inbound: got %s, want one of %v from asker, with a session and an id", m.Payload, left)
		}
		left = slices.Delete(left, at, at+1)
	}
}
