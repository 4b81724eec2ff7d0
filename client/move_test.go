package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/client"
)

const goaway = `{"op":"goaway","retry_ms":40,"grace_ms":20000}`

// lossesTo returns a change to a config after which every loss is in the channel.
func lossesTo(lost chan *client.Lost) func(*client.Config) {
	return func(c *client.Config) {
		c.Handler.Lost = func(_ context.Context, l *client.Lost) error { lost <- l; return nil }
	}
}

// none fails if something was lost.
func none(t *testing.T, lost chan *client.Lost) {
	t.Helper()
	if len(lost) > 0 {
		t.Errorf("a connection was lost: %v", (<-lost).Err)
	}
}

func TestMakesTheNextConnectionBeforeTheOldOneEnds(t *testing.T) {
	n, lost := newNode(t), make(chan *client.Lost, 9)
	u := n.connect(lossesTo(lost))
	old := n.hello()
	old.says(message("orders", "1", "o1"), goaway)
	u.hears("message 1 " + `{"n":1}`)
	v := n.visit()
	if got := v.URL.Query()["resume"]; len(got) != 1 || got[0] != "orders:o1" {
		t.Errorf("it resumes from %q", got)
	}
	old.says(message("orders", "2", "o2"), message("orders", "2", "o3"), message("chat", "x", "c1"))
	u.hears("message 2 "+`{"n":1}`, "message 2 "+`{"n":1}`, "message x "+`{"n":1}`)
	v.accept()
	old.says(message("orders", "3", "o4"))
	u.hears("message 3 " + `{"n":1}`)
	v.says(hello, message("orders", "2", "o2"), message("orders", "2", "o3"), `{"op":"cursor","system":"orders","cursor":"o3"}`)
	if got := old.hears(); !strings.Contains(got, "1000") {
		t.Errorf("the old node heard %s; want a goodbye", got)
	}
	u.at(map[string]string{"orders": "o4", "chat": "c1"}) // it never went back
	v.says(message("orders", "3", "o4"), message("orders", "4", "o5"), message("chat", "x", "c1"), message("chat", "y", "c2"),
		message("orders", "2", "o6"))
	u.hears("message 4 "+`{"n":1}`, "message y "+`{"n":1}`, "message 2 "+`{"n":1}`)
	u.at(map[string]string{"orders": "o6", "chat": "c2"})
	v.says(goaway) // and so on
	last := n.hello()
	last.says(message("orders", "5", "o7"))
	u.hears("message 5 " + `{"n":1}`)
	none(t, lost)
	u.leaves()
}

// What the old connection brings after the new one's hello would come twice.
func TestTakesFromTheNewConnectionAloneOnceThereIsOne(t *testing.T) {
	n := newNode(t)
	hellos := make(chan string, 9)
	u := n.connect(func(c *client.Config) {
		c.Handler.Hello = func(_ context.Context, h *client.Hello) error { hellos <- h.Session; return nil }
	})
	old := n.hello()
	receive(t, hellos, "the first hello")
	sent := make(chan error, 1)
	go func() {
		_, err := u.Send(context.Background(), "orders", client.Sending{Data: 1})
		sent <- err
	}()
	old.wants(`{"op":"send","ref":1,"system":"orders","data":1}`)
	old.says(goaway)
	v := n.hello()
	receive(t, hellos, "the second hello")
	old.says(message("orders", "1", "o1"), `{"op":"left","system":"chat","reason":"token"}`, `{"op":"ok","ref":1,"id":"i"}`)
	if err := receive(t, sent, "the answer"); err != nil {
		t.Errorf("what was sent on the old connection: %v", err)
	}
	if got := old.hears(); !strings.Contains(got, "1000") {
		t.Errorf("the old node heard %s; want a goodbye after its answer", got)
	}
	v.says(message("orders", "1", "o1"))
	u.hears("message 1 " + `{"n":1}`)
	go func() { sent <- u.Join(context.Background(), "chat", "lobby", "") }()
	v.wants(`{"op":"join","ref":2,"system":"chat","room":"lobby"}`)
	v.says(`{"op":"ok","ref":2}`)
	if err := receive(t, sent, "the answer"); err != nil {
		t.Error(err)
	}
	v.closes(0)
	if got := n.hello().URL.Query().Get("systems"); got != "orders,chat" {
		t.Errorf("then it came for the systems %s; want all, since only the old connection has lost one", got)
	}
	u.leaves()
}

// A connection that is lost brings no answers, so the next one is not made later for them.
func TestAnswersOfALostConnectionAreNotWaitedFor(t *testing.T) {
	n, lost := newNode(t), make(chan *client.Lost, 9)
	u := n.connect(lossesTo(lost))
	old := n.hello()
	joined := make(chan error, 1)
	go func() { joined <- u.Join(context.Background(), "chat", "lobby", "") }()
	join := `{"op":"join","ref":1,"system":"chat","room":"lobby"}`
	old.wants(join)
	old.says(`{"op":"goaway","retry_ms":40,"grace_ms":3600000}`)
	old.closes(0)
	v := n.hello()
	v.wants(join)
	v.says(`{"op":"ok","ref":1}`)
	if err := receive(t, joined, "the answer"); err != nil {
		t.Error(err)
	}
	none(t, lost)
	u.leaves()
}

// The token with which the next connection is made may be one of those that end the old one.
func TestTokenThatEndsBothConnectionsIsReplaced(t *testing.T) {
	n := newNode(t)
	u := n.connect(func(c *client.Config) {
		c.Token = func(context.Context) (string, error) { return "a token", nil }
	})
	old := n.hello()
	old.says(goaway)
	v := n.visit()
	end := websocket.FormatCloseMessage(client.CodeExpired, "revoked")
	if err := old.conn.WriteControl(websocket.CloseMessage, end, time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	if got := old.hears(); !strings.Contains(got, "4001") {
		t.Errorf("the old node heard %s; want what it said", got)
	}
	v.refuse(401, "")
	n.hello()
	u.leaves()
}

// A join may bring what the room had, so the old connection has to answer it before the new
// one begins, and later ones wait for that.
func TestJoinsAreNotDividedBetweenTwoConnections(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	old := n.hello()
	joined := make(chan error, 2)
	join := func(room, since string) { joined <- u.Join(context.Background(), "chat", room, since) }
	go join("lobby", "c0")
	old.wants(`{"op":"join","ref":1,"system":"chat","room":"lobby","since":"c0"}`)
	old.says(goaway, `{"op":"message","system":"chat","id":"1","to":"room:lobby","data":1}`)
	u.hears("message 1 1")
	old.says(`{"op":"ok","ref":1}`)
	v := n.visit()
	if err := receive(t, joined, "the answer"); err != nil || v.URL.Query().Get("rooms") != "chat/lobby" {
		t.Errorf("joined: %v; then it named the rooms %q", err, v.URL.Query().Get("rooms"))
	}
	go join("den", "")
	v.accept()
	v.says(hello)
	v.wants(`{"op":"join","ref":2,"system":"chat","room":"den"}`)
	v.says(`{"op":"ok","ref":2}`)
	if err := receive(t, joined, "the answer"); err != nil {
		t.Error(err)
	}
	if got := old.hears(); !strings.Contains(got, "1000") {
		t.Errorf("the old node heard %s; want a goodbye", got)
	}
	u.leaves()
}

func TestKeepsTheOldConnectionIfTheNewOneFails(t *testing.T) {
	for name, fail := range map[string]func(*visit){
		"refused":  func(v *visit) { v.refuse(503, "7") },
		"broken":   func(v *visit) { close(v.done) },
		"no hello": func(v *visit) { v.accept(); v.closes(1001) },
	} {
		t.Run(name, func(t *testing.T) {
			n, lost := newNode(t), make(chan *client.Lost, 9)
			u := n.connect(lossesTo(lost), func(c *client.Config) { c.FirstPause, c.MaxPause = time.Hour, time.Hour })
			old := n.hello()
			old.says(goaway)
			fail(n.visit())
			old.says(message("orders", "1", "o1"))
			u.hears("message 1 " + `{"n":1}`)
			old.closes(1001)
			if l := receive(t, lost, "the loss"); l.Delay != 40*time.Millisecond {
				t.Errorf("it comes back after %v", l.Delay)
			}
			v := n.hello()
			if got := v.URL.Query().Get("resume"); got != "orders:o1" {
				t.Errorf("it resumes from %q", got)
			}
			u.leaves()
		})
	}
}

func TestNewConnectionOutlivesTheOldOne(t *testing.T) {
	n, lost := newNode(t), make(chan *client.Lost, 9)
	u := n.connect(lossesTo(lost))
	old := n.hello()
	old.says(message("orders", "1", "o1"), goaway)
	u.hears("message 1 " + `{"n":1}`)
	v := n.visit()
	old.closes(0)
	v.accept()
	v.says(hello, message("orders", "2", "o2"))
	u.hears("message 2 " + `{"n":1}`)
	none(t, lost)
	u.leaves()
}

func TestWhatIsFinalIsFinalOnEitherConnection(t *testing.T) {
	for name, tt := range map[string]struct {
		scene func(old, v *visit)
		want  int
	}{
		"new one refused": {func(_, v *visit) { v.refuse(403, "") }, 403},
		"new one closed":  {func(_, v *visit) { v.accept(); v.closes(client.CodeForbidden) }, client.CodeForbidden},
		"old one closed": {func(old, _ *visit) {
			old.says(`{"op":"disconnect","code":4009,"reason":"out","reconnect":false}`)
		}, client.CodeDisconnected},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			u := n.connect()
			old := n.hello()
			old.says(goaway)
			v := n.visit()
			go tt.scene(old, v)
			err := u.end()
			var closed *client.CloseError
			var refused *client.Refusal
			switch {
			case errors.As(err, &closed) && closed.Code == tt.want:
			case errors.As(err, &refused) && refused.Status == tt.want:
			default:
				t.Errorf("Run returned %v; want %d", err, tt.want)
			}
		})
	}
}
