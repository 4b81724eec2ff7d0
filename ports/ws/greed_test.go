package ws_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

// Ops that a client can repeat for ever are limited by what they cost the node.
func TestRepeatedOpsAreMeteredByTheirCost(t *testing.T) {
	const rounds = 400
	for name, test := range map[string]struct {
		ops  []string
		most int // how many of the first op may succeed at once
	}{
		"join and leave":      {[]string{`{"op":"join","ref":1,"system":"chat","room":"a"}`, `{"op":"leave","ref":2,"system":"chat","room":"a"}`}, 50},
		"join since":          {[]string{`{"op":"join","ref":1,"system":"chat","room":"a","since":"` + since + `"}`, `{"op":"leave","ref":2,"system":"chat","room":"a"}`}, 34},
		"presence":            {[]string{`{"op":"presence","ref":1,"system":"chat","watch":false}`, `{"op":"leave","ref":2,"system":"chat","room":"a"}`}, 34},
		"tokens":              {[]string{`{"op":"auth","ref":1,"token":"alice"}`, `{"op":"leave","ref":2,"system":"chat","room":"a"}`}, 10},
		"tokens that are bad": {[]string{`{"op":"auth","ref":1,"token":"alice/bad"}`, `{"op":"leave","ref":2,"system":"chat","room":"a"}`}, 10},
	} {
		n := serve(t, config{})
		c := n.v1("alice", "systems=chat")
		began := time.Now()
		go func() {
			frame := []byte(strings.Join(test.ops, "\n"))
			for range rounds {
				if c.conn.WriteMessage(1, frame) != nil {
					return
				}
			}
		}()
		served := 0
		for {
			line, err := c.next()
			if err != nil {
				break
			}
			if strings.Contains(line, `"ref":1`) && !strings.Contains(line, string(ws.RateLimited)) {
				served++
			}
		}
		most := float64(test.most) * (1 + time.Since(began).Seconds()/2)
		if served == 0 || float64(served) > most+1 {
			t.Errorf("%s: %d were served, want at most %.0f", name, served, most)
		}
		poll(t, func() bool { return n.registry.Stats().Closed[session.ClosePolicy] == 1 })
	}
}

var since = strings.TrimPrefix(strings.Split(sameCursor, ",")[0], "chat:")

// Refused ops count against the rate, too, when allowed ones come between.
func TestRefusedOpsAreMetered(t *testing.T) {
	for name, bad := range map[string]func(c *client) error{
		"binary frames":   func(c *client) error { return c.conn.WriteMessage(2, make([]byte, 10_000)) },
		"no JSON":         func(c *client) error { return c.conn.WriteMessage(1, []byte("nonsense")) },
		"unknown ops":     func(c *client) error { return c.conn.WriteMessage(1, []byte(`{"op":"dance"}`)) },
		"unknown systems": func(c *client) error { return c.conn.WriteMessage(1, []byte(`{"op":"leave","system":"x","room":"y"}`)) },
		"forbidden rooms": func(c *client) error {
			return c.conn.WriteMessage(1, []byte(`{"op":"join","system":"orders","room":"y"}`))
		},
		"much in a frame":  func(c *client) error { return c.conn.WriteMessage(1, []byte(strings.Repeat(`{"op":1}`+"\n", 1000))) },
		"binary and empty": func(c *client) error { return c.conn.WriteMessage(2, nil) },
	} {
		n := serve(t, config{ws: ws.Config{CloseWait: 100 * time.Millisecond}})
		c := n.v1("alice", "systems=chat,orders")
		go func() {
			var err error
			for i := 0; err == nil && i < 10_000; i++ {
				if err = bad(c); i%9 == 8 && err == nil {
					err = c.conn.WriteMessage(1, []byte(`{"op":"leave","ref":1,"system":"chat","room":"a"}`))
				}
			}
		}()
		for {
			if _, err := c.next(); err != nil {
				break
			}
		}
		poll(t, func() bool { return n.registry.Stats().Closed[session.ClosePolicy] == 1 })
		if got := n.opErrors(); got > 400 {
			t.Errorf("%s: %d errors were answered", name, got)
		}
	}
}

// Answers that the client does not read are bounded, and end the session.
func TestClientThatAsksAndNeverReadsIsClosed(t *testing.T) {
	n := serve(t, config{ws: ws.Config{SessionRate: session.Rate{Messages: 1e9, Bytes: 1e12}, UserRate: session.Rate{Messages: 1e9, Bytes: 1e12}, FrameRate: 1e9}})
	c := n.raw(ws.V1)
	ops := strings.Repeat(fmt.Sprintf(`{"op":"leave","ref":%q,"system":"chat","room":"x"}`, strings.Repeat("r", 60))+"\n", 500)
	frame := masked(fin|text, ops)
	go func() {
		var err error
		for i := 0; err == nil && i < 2000; i++ {
			_, err = c.Write(frame)
		}
	}()
	poll(t, func() bool { return n.registry.Stats().Closed[session.CloseSlow] == 1 })
	if s := n.server.Stats(); s.Dropped != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// A user who opens and closes sessions all the time is asked to wait.
func TestSessionsThatAUserOpensInAStormAreBounded(t *testing.T) {
	n := serve(t, config{registry: session.Config{SessionsPerUser: 8}})
	began, opened, refused := time.Now(), 0, 0
	for range 100 {
		c, answer, err := n.try("alice", "systems=orders", http.Header{"Sec-Websocket-Protocol": {ws.V1}})
		switch {
		case err == nil:
			opened++
			_ = c.conn.Close()
		case answer.StatusCode == http.StatusTooManyRequests && answer.Header.Get("Retry-After") != "":
			refused++
			_, _ = io.Copy(io.Discard, answer.Body)
		default:
			t.Fatal(err)
		}
	}
	if most := 16 + 8*time.Since(began).Seconds(); float64(opened) > most+1 || refused == 0 {
		t.Errorf("%d were opened and %d refused, want at most %.0f", opened, refused, most)
	}
	n.v1("bob", "systems=orders")
}
