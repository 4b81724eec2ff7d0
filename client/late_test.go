package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/client"
)

// A join is the op as the node reads it.
type join struct {
	Op     string
	Ref    json.RawMessage
	System string
	Room   string
	Since  string
}

func (v *visit) join() join {
	v.t.Helper()
	var j join
	if text := v.hears(); json.Unmarshal([]byte(text), &j) != nil || j.Op != "join" {
		v.t.Fatalf("the node heard %s; want a join", text)
	}
	return j
}

func (v *visit) ok(j join) { v.says(fmt.Sprintf(`{"op":"ok","ref":%s}`, j.Ref)) }

func (v *visit) no(j join, code string) {
	v.says(fmt.Sprintf(`{"op":"error","ref":%s,"code":%q,"message":"no"}`, j.Ref, code))
}

// longRooms have names of 100 bytes. About 25 of them fit into an address.
func longRooms(count int) (rooms []string) {
	for i := range count {
		rooms = append(rooms, fmt.Sprintf("orders/%03d%s", i, strings.Repeat("x", 97)))
	}
	return rooms
}

func TestRoomsWithCommasHaveAParameterOfTheirOwn(t *testing.T) {
	n := newNode(t)
	u := n.connect(func(c *client.Config) { c.Rooms = []string{"orders/a,b", "orders/c", "chat/,"} })
	q := n.hello().URL.Query()
	if !slices.Equal(q["room"], []string{"orders/a,b", "chat/,"}) || !slices.Equal(q["rooms"], []string{"orders/c"}) {
		t.Errorf("it asked for %v", q)
	}
	u.leaves()
}

func TestRoomsWithoutSpaceInTheAddressAreJoinedOneByOneSinceItsBeginning(t *testing.T) {
	n := newNode(t)
	rooms := longRooms(40)
	u := n.connect(func(c *client.Config) { c.Rooms = rooms })
	v := n.hello()
	named := v.URL.Query()["rooms"]
	if len(named) < 20 || len(named) > 30 || len(v.URL.String()) > 4000 {
		t.Fatalf("%d rooms in an address of %d bytes", len(named), len(v.URL.String()))
	}
	v.says(message("orders", "1", "o1"))
	u.hears(`message 1 {"n":1}`)
	for i, name := range rooms[len(named):] {
		j := v.join()
		if "orders/"+j.Room != name || j.Since != "o0" {
			t.Fatalf("join %d is %+v, want %s", i, j, name)
		}
		switch i {
		case 3:
			v.no(j, "rate_limited")
			if again := v.join(); again.Room != j.Room || again.Since != "o0" {
				t.Fatalf("then %+v", again)
			}
			v.ok(j)
		case 5:
			v.no(j, "forbidden")
			u.hears("left orders/" + j.Room + " forbidden")
		default:
			u.at(map[string]string{"orders": "o0"}) // a program that starts again from here misses nothing in a room
			v.ok(j)
		}
	}
	u.at(map[string]string{"orders": "o1"})
	v.closes(0)
	v = n.hello()
	if j := v.join(); j.Since != "o1" || slices.Contains(v.URL.Query()["rooms"], "orders/"+j.Room) {
		t.Errorf("on the next connection: %+v", j)
	}
	u.leaves()
}

func TestLateJoinKeepsItsCursorOverConnectionsAndRuns(t *testing.T) {
	n := newNode(t)
	rooms := longRooms(30)
	u := n.connect(func(c *client.Config) { c.Rooms = rooms })
	v := n.hello()
	first := v.join()
	v.says(message("orders", "1", "o1"))
	u.hears(`message 1 {"n":1}`)
	v.closes(0)

	v = n.hello()
	if got := v.URL.Query()["resume"]; !slices.Contains(got, "orders:o1") {
		t.Errorf("it resumed with %v", got)
	}
	if again := v.join(); again.Room != first.Room || again.Since != "o0" {
		t.Errorf("it asked for %+v", again)
	}
	u.leaves()
	u.at(map[string]string{"orders": "o0"})
	u.run()
	v = n.hello()
	all := v.URL.Query()["rooms"]
	for len(all) < len(rooms) {
		j := v.join()
		all = append(all, "orders/"+j.Room)
		v.ok(j)
	}
	slices.Sort(all)
	if !slices.Equal(all, rooms) {
		t.Errorf("after another Run it is in %v", all)
	}
	u.leaves()
}

func TestAddressThatIsTooLongEndsRun(t *testing.T) {
	for _, status := range []int{414, 431} {
		n := newNode(t)
		u := n.connect()
		v := n.visit()
		v.w.WriteHeader(status)
		close(v.done)
		if err := u.end(); err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("Run returned %v", err)
		}
	}
}

// After connecting again to a real node, what was missed comes in rooms of any name, and
// in as many rooms with the longest names as a node allows.
func TestEveryRoomIsEnteredAgainAtARealNode(t *testing.T) {
	names := []string{"a,b", ",", "a,chat/b", "a:b", " ", "100%", "%2C", "+", "a&room=b", "#", "?", "=", ";", `\,`, `"`, "ü", "日本,語", "\u202e", "*", "a/b",
		strings.Repeat(",", 256), strings.Repeat("語", 85)}
	for i := len(names); i < 100; i++ {
		names = append(names, fmt.Sprintf("%03d,%s", i, strings.Repeat("y", 252)))
	}
	g := devNode(t)
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	n := &node{t: t, url: server.URL}
	greeted := make(chan *client.Hello, 100)
	u := n.connect(func(c *client.Config) {
		c.Systems = []string{"chat"}
		c.Handler.Hello = func(_ context.Context, h *client.Hello) error { greeted <- h; return nil }
	})
	for _, name := range names[:50] {
		if err := u.Join(t.Context(), "chat", name, ""); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	}
	receive(t, greeted, "the hello")
	u.leaves()
	publish := func(round string, names []string) {
		for i, name := range names {
			_, err := g.Publish(t.Context(), "chat", fanfare.Message{To: []string{"room:" + name}, ID: fmt.Sprint(round, i), Data: 1})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	hear := func(round string, names []string) {
		t.Helper()
		var got, want []string
		for i := range names {
			got = append(got, receive(t, u.told, round))
			want = append(want, fmt.Sprintf("message %s%d 1", round, i))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("round %s: told %q", round, got)
		}
	}
	publish("missed ", names[:50])
	u.run()
	receive(t, greeted, "the hello")
	hear("missed ", names[:50])
	publish("moves the cursor behind what was told without one ", names[:1])
	hear("moves the cursor behind what was told without one ", names[:1])
	for _, name := range names[50:] {
		if err := u.Join(t.Context(), "chat", name, ""); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	}
	u.leaves()
	publish("late ", names)
	u.run()
	hear("late ", names)
	publish("new ", names)
	hear("new ", names)
	u.leaves()
}
