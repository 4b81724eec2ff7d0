package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/test/broker"
)

// poisons is how many hostile inputs each test makes.
const poisons = 2000

func seeded(t *testing.T) hostile {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return hostile{rand.New(rand.NewPCG(seed, 2))}
}

// Entries that are no messages are counted and skipped. The messages between them
// arrive.
func TestPoisonOnTheBus(t *testing.T) {
	for name, add := range map[string]func(context.Context, redis.Pipeliner, hostile){
		"redis": func(ctx context.Context, p redis.Pipeliner, h hostile) {
			p.Publish(ctx, "fanfare.orders", h.envelope())
		},
		"redis-streams": func(ctx context.Context, p redis.Pipeliner, h hostile) {
			p.XAdd(ctx, &redis.XAddArgs{Stream: "fanfare.orders", Values: h.fields()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			needs(t, "redis-server")
			r := broker.Redis(t)
			c := newCluster(t, 2, r.URL(name), nil)
			c.withNginx()
			k := startClients(c)
			openSome(k, 20)

			h, bus := seeded(t), r.Client()
			letters := make(map[label]*letter)
			for batch := range poisons / 20 {
				l := &letter{label: label{"good", batch + 1}, to: []string{fmt.Sprintf("user:u%d", batch%20)}}
				letters[l.label] = l
				pipe := bus.Pipeline()
				for range 10 {
					add(t.Context(), pipe, h)
				}
				if name == "redis" {
					pipe.Publish(t.Context(), "fanfare.orders", l.json())
				} else {
					pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: "fanfare.orders", Values: []any{"data", l.json()}})
				}
				for range 10 {
					add(t.Context(), pipe, h)
				}
				if _, err := pipe.Exec(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			last := &letter{label: label{"last", 1}, to: []string{"*"}}
			letters[last.label] = last
			c.mustPost(t, last)
			k.hear(t, 60*time.Second, last.label)
			k.finish()
			if err := k.each(func(s *session) error { return errors.Join(judge(s, letters), undisturbed(s)) }); err != nil {
				t.Error(err)
			}
			for _, n := range c.nodes {
				poison, panics, entries := n.metric("fanfare_poison_total"), n.metric("fanfare_panics_total"), n.metric("fanfare_entries_total")
				if poison != poisons || panics != 0 || entries != poisons+poisons/20+1 {
					t.Errorf("node %s counts %v poison, %v panics, %v entries", n.name, poison, panics, entries)
				}
			}
		})
	}
}

// Every wrong op is answered with an error and counted. A session ends after ten in
// a row, and after text that is not UTF-8, a message that is too large, or bytes
// that are no WebSocket frame. Other sessions do not end.
func TestPoisonOnTheSocket(t *testing.T) {
	c := newCluster(t, 1, "memory://", settings{"LIMITS_INBOUND_RATE": "1000"})
	c.withNginx()
	k := startClients(c)
	openSome(k, 40)
	stream := startStream(c, "user:u%d")

	h := seeded(t)
	const attackers = 100
	var attacks errgroup.Group
	attacks.SetLimit(8)
	var answered, ended, garbled atomic.Int64
	for i := range attackers {
		inputs := make([]string, poisons/attackers)
		for j := range inputs {
			inputs[j] = h.op()
		}
		attack := &attack{c: c, user: fmt.Sprintf("attacker%d", i), greedy: i%5 == 0}
		attacks.Go(func() error {
			defer func() { answered.Add(attack.answered); ended.Add(attack.ended); garbled.Add(attack.garbled) }()
			return attack.run(inputs)
		})
	}
	if err := attacks.Wait(); err != nil {
		t.Error(err)
	}
	letters := stream.stop(t, k)
	if err := k.each(func(s *session) error { return errors.Join(judge(s, letters), undisturbed(s)) }); err != nil {
		t.Error(err)
	}
	if answered.Load() != poisons {
		t.Errorf("%d of %d inputs were answered with an error", answered.Load(), poisons)
	}
	if ended.Load() == 0 {
		t.Error("nobody was closed for ten errors in a row")
	}
	counted := func(series string, sum func() float64, want int64) {
		t.Helper()
		eventually(t, 10*time.Second, series, func() error { // a session counts when its connection is done
			if got := sum(); got != float64(want) {
				return fmt.Errorf("is %v, want %v", got, want)
			}
			return nil
		})
	}
	closed := func(code string) float64 { return c.metric(`fanfare_sessions_closed_total{code="` + code + `"}`) }
	counted("ops answered with an error", func() float64 { return c.metric("fanfare_ws_op_errors_total{*}") }, poisons)
	counted("sessions closed for ten errors", func() float64 { return closed("1008") }, ended.Load())
	counted("sessions closed for sending too much", func() float64 { return closed("1009") }, attackers)
	counted("sessions closed for text that is not UTF-8", func() float64 { return closed("1007") }, garbled.Load())
	counted("sessions that broke the rules", func() float64 { return closed("1002") }, attackers)
	counted("panics", func() float64 { return c.metric("fanfare_panics_total") }, 0)
}

// An attack is one user who sends only wrong ops.
type attack struct {
	c        *cluster
	user     string
	greedy   bool // makes ten errors in a row, and comes again
	conn     *websocket.Conn
	row      int
	answered int64 // with an error, or with the end that goes with it
	ended    int64 // sessions, with 1008
	garbled  int64 // sessions, with 1007
}

func (a *attack) run(inputs []string) error {
	if err := a.connect(); err != nil {
		return err
	}
	for i, in := range inputs {
		if err := a.say(in, i%7 == 6); err != nil {
			return fmt.Errorf("input %.200q: %w", in, err)
		}
	}
	return errors.Join(a.end(strings.Repeat("x", 100_000), websocket.CloseMessageTooBig), a.breakRules())
}

func (a *attack) connect() (err error) {
	a.conn, _, err = a.c.tryDial(a.user, "systems=orders")
	a.row = 0
	if err != nil {
		return err
	}
	return a.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
}

// say says something wrong and reads the answer. Who is not greedy says
// something right in time, and is not closed.
func (a *attack) say(in string, binary bool) error {
	kind := websocket.TextMessage
	if binary {
		kind = websocket.BinaryMessage
	}
	if err := a.conn.WriteMessage(kind, []byte(in)); err != nil {
		return err
	}
	a.answered++
	if !binary && !utf8.ValidString(in) {
		a.garbled++
		return errors.Join(a.closed(websocket.CloseInvalidFramePayloadData), a.connect())
	}
	if err := a.read("error"); err != nil {
		return err
	}
	a.row++
	switch {
	case a.row == 10:
		a.ended++
		return errors.Join(a.closed(websocket.ClosePolicyViolation), a.connect())
	case a.row == 9 && !a.greedy:
		a.row = 0
		if err := a.conn.WriteMessage(websocket.TextMessage, []byte(`{"op":"join","ref":1,"system":"orders","room":"hall"}`)); err != nil {
			return err
		}
		return a.read("ok")
	}
	return nil
}

// read waits for an answer, and wants that one.
func (a *attack) read(want string) error {
	for {
		_, frame, err := a.conn.ReadMessage()
		if err != nil {
			return err
		}
		for line := range bytes.Lines(frame) {
			switch o, err := readOp(line); {
			case err != nil:
				return err
			case o.Op == want:
				return nil
			case o.Op == "ok", o.Op == "error":
				return fmt.Errorf("answered with %s, want %s", line, want)
			}
		}
	}
}

// closed wants the connection to end with the code.
func (a *attack) closed(code int) error {
	defer a.conn.Close()
	for {
		_, _, err := a.conn.ReadMessage()
		if websocket.IsCloseError(err, code) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("closed with %w, want %d", err, code)
		}
	}
}

// end says something that ends the session.
func (a *attack) end(with string, code int) error {
	if err := a.conn.WriteMessage(websocket.TextMessage, []byte(with)); err != nil {
		return err
	}
	return a.closed(code)
}

// breakRules sends what is no WebSocket frame.
func (a *attack) breakRules() error {
	if err := a.connect(); err != nil {
		return err
	}
	// Reserved bits are set, and the frame is not masked.
	if _, err := a.conn.NetConn().Write([]byte("\xf3\x7frubbish")); err != nil {
		return err
	}
	return a.closed(websocket.CloseProtocolError)
}
