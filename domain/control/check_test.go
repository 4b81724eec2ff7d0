package control_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

func TestCheckRefuses(t *testing.T) {
	w := newWorld(t, 40)
	a := w.add("a")
	now := time.UnixMilli(a.clock().Wall)
	put := func(k control.Kind, name string, v control.Value) {
		t.Helper()
		if _, err := a.Put(a.clock(), control.Key{Kind: k, Name: name}, v, time.Hour, false); err != nil {
			t.Fatal(err)
		}
	}
	put(control.Block, "bob", control.Value{Reason: "spam"})
	put(control.Block, "carol", control.Value{})
	put(control.RevokeToken, "jti", control.Value{})
	put(control.RevokeUser, "dave", control.Value{Before: now.UnixMilli()})
	put(control.Disconnect, "alice", control.Value{})
	for _, c := range []struct {
		user, jti string
		issued    time.Time
		want      string
	}{
		{"alice", "", time.Time{}, ""},
		{"alice", "other", now, ""},
		{"bob", "", now, "blocked: spam"},
		{"carol", "x", now, "blocked"},
		{"alice", "jti", now, "the token was revoked"},
		{"dave", "", now.Add(-time.Second), "the token was revoked"},
		{"dave", "", time.Time{}, "the token was revoked"},
		{"dave", "", now, ""},
	} {
		err := a.Check(c.user, c.jti, c.issued)
		if c.want == "" {
			if err != nil {
				t.Errorf("%v: %v", c, err)
			}
			continue
		}
		var refusal *control.Refusal
		if !errors.As(err, &refusal) || !errors.Is(err, domain.ErrForbidden) || err.Error() != c.want {
			t.Errorf("%v: %v", c, err)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { _ = a.Check("alice", "other", now) }); allocs > 0 {
		t.Errorf("it allocates %v times", allocs)
	}
}

func TestMembershipsAreListedByUserAndByRoom(t *testing.T) {
	w := newWorld(t, 41)
	a, b := w.add("a"), w.add("b")
	w.run(3 * time.Second)
	key := func(room, user string) control.Key {
		return control.Key{Kind: control.Membership, System: "chat", Room: room, Name: user}
	}
	for i := range 5 {
		for _, room := range []string{"y", "x"} {
			if _, err := a.Put(a.clock(), key(room, fmt.Sprint("u", 4-i)), control.Value{}, time.Minute, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := a.Delete(a.clock(), key("x", "u1"), false); err != nil {
		t.Fatal(err)
	}
	w.run(time.Second)
	b.effects = nil
	for _, n := range w.nodes {
		got := fmt.Sprint(n.Rooms("u0", chat.System), n.Rooms("u1", chat.System), n.Rooms("u9", chat.System))
		if got != "[x y] [y] []" {
			t.Errorf("%s: rooms %s", n.name, got)
		}
		var users []string
		for after := ""; ; {
			page := n.Members(chat.System, "x", after, 2)
			if len(page) == 0 {
				break
			}
			for _, f := range page {
				after = f.Key.Name
				users = append(users, after)
			}
		}
		if fmt.Sprint(users) != "[u0 u2 u3 u4]" {
			t.Errorf("%s: members %v", n.name, users)
		}
	}
	f, ok := b.Fact(key("y", "u3"))
	if !ok || f.Left < 55*time.Second || f.Left > time.Minute {
		t.Errorf("%+v, %v", f, ok)
	}
	if _, err := a.Delete(a.clock(), key("x", "u0"), false); err != nil {
		t.Fatal(err)
	}
	w.run(time.Second)
	if len(b.effects) != 1 || b.effects[0].Key != key("x", "u0") || len(b.Rooms("u0", chat.System)) != 1 {
		t.Errorf("behind a delete: effects %v", b.effects)
	}
	w.run(time.Minute)
	if _, ok := b.Fact(key("y", "u3")); ok || len(b.effects) != 9 || len(b.Members(chat.System, "y", "", 9)) != 0 {
		t.Errorf("behind their end: %v, effects %v", ok, b.effects)
	}
}

func TestALaterFactReplacesAnEarlierOneForGood(t *testing.T) {
	w := newWorld(t, 42)
	a, b := w.add("a"), w.add("b")
	w.run(6 * time.Second)
	a.block("bob", time.Hour)
	w.run(time.Second)
	old := w.kept[len(w.kept)-1]
	b.block("bob", time.Second)
	w.run(20 * time.Minute)
	late := w.add("late") // it learns that the block of an hour was replaced
	w.run(10 * time.Second)
	late.receive(old, true)
	w.wantBlocked("bob", false)
}
