package domain_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

func TestParseSystem(t *testing.T) {
	for _, good := range []string{"a", "0", "orders", "a_b-c", strings.Repeat("x", 64)} {
		if s, err := domain.ParseSystem(good); err != nil || s.String() != good {
			t.Errorf("%q: %v %v", good, s, err)
		}
	}
	for _, bad := range []string{"", "-a", "_a", "A", "a.b", "a b", "ä", "a\x00", strings.Repeat("x", 65)} {
		if _, err := domain.ParseSystem(bad); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", bad, err)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string][2]string{
		"*": {"*", ""}, "user:alice": {"user", "alice"}, "room:a:b": {"room", "a:b"}, "session:01H": {"session", "01H"},
		"user:" + strings.Repeat("x", 256): {"user", strings.Repeat("x", 256)}, "room:ä b/c": {"room", "ä b/c"},
	} {
		got, err := domain.ParseTarget(text)
		if err != nil || got.Kind() != want[0] || got.Name() != want[1] || got.String() != text {
			t.Errorf("%q: %v (%q, %q) %v", text, got, got.Kind(), got.Name(), err)
		}
	}
	for _, bad := range []string{"", "alice", "user", "user:", "group:a", "User:a", "*:a", "user:a\n", "user:\x7f", "user:\xff",
		"user:" + strings.Repeat("x", 257), ":", "room:\u0085"} {
		if _, err := domain.ParseTarget(bad); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", bad, err)
		}
	}
}

func TestTopics(t *testing.T) {
	topics, err := domain.ParseTopics("websocket:{system}")
	if err != nil {
		t.Fatal(err)
	}
	orders, err := domain.ParseSystem("orders")
	if err != nil {
		t.Fatal(err)
	}
	if topics.Topic(orders) != "websocket:orders" || topics.Inbound(orders) != "websocket:orders.inbound" {
		t.Errorf("%q %q", topics.Topic(orders), topics.Inbound(orders))
	}
	for _, bad := range []string{"", "orders", "{system}{system}", "{System}"} {
		if _, err := domain.ParseTopics(bad); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", bad, err)
		}
	}
}

func TestGrant(t *testing.T) {
	g := domain.Grant{
		User:    "alice",
		Systems: []string{"chat", "shop-*"},
		Rooms:   []string{"chat/*", "shop-*/vip", "secret/x"},
		Send:    []string{"chat/room:*", "chat/user:b*b", "shop-eu/all", "*/*"},
	}
	sys := func(name string) domain.System {
		s, err := domain.ParseSystem(name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	attach := map[string]bool{"chat": true, "shop-eu": true, "shop": false, "shop-": true, "chats": false, "secret": false}
	for name, want := range attach {
		if got := g.MayAttach(sys(name)); got != want {
			t.Errorf("MayAttach(%s) = %v", name, got)
		}
	}
	join := map[[2]string]bool{
		{"chat", "lobby"}: true, {"chat", "a/b"}: false, {"shop-eu", "vip"}: true, {"shop-eu", "other"}: false, {"secret", "x"}: false,
	}
	for c, want := range join {
		if got := g.MayJoin(sys(c[0]), c[1]); got != want {
			t.Errorf("MayJoin(%s, %s) = %v", c[0], c[1], got)
		}
	}
	g.Presence = []string{"chat/*", "shop-eu/", "secret/*"}
	watch := map[[2]string]bool{
		{"chat", "lobby"}: true, {"chat", ""}: true, {"chat", "a/b"}: false,
		{"shop-eu", ""}: true, {"shop-eu", "vip"}: false, {"secret", "x"}: false, {"shop-us", ""}: false,
	}
	for c, want := range watch {
		if got := g.MayWatch(sys(c[0]), c[1]); got != want {
			t.Errorf("MayWatch(%s, %q) = %v", c[0], c[1], got)
		}
	}
	g.Send = g.Send[:3]
	send := map[[2]string]bool{
		{"chat", "room:lobby"}: true, {"chat", "user:bob"}: true, {"chat", "user:bill"}: false, {"chat", "*"}: false,
		{"shop-eu", "*"}: true, {"shop-us", "*"}: false, {"secret", "room:x"}: false,
	}
	for c, want := range send {
		to, err := domain.ParseTarget(c[1])
		if err != nil {
			t.Fatal(err)
		}
		if got := g.MaySend(sys(c[0]), to); got != want {
			t.Errorf("MaySend(%s, %s) = %v", c[0], c[1], got)
		}
	}
	g.Send = []string{"*/*", "chat/a*"}
	if g.MaySend(sys("chat"), domain.Everyone) {
		t.Error("a glob gave the right to send to everyone")
	}
	for pattern, want := range map[string]bool{
		"chat/inbound": true, "*/inbound": true, "ch*/inbound": true,
		"chat/*": false, "*/*": false, "chat/i*": false, "chat/all": false, "*": false, "shop-eu/inbound": false, "/inbound": false, "inbound": false,
		"chat/room:inbound": false, "chat/x/inbound": false, "chat/inbound/": false, "chat/Inbound": false,
	} {
		g := domain.Grant{Systems: []string{"chat"}, Send: []string{pattern}}
		if got := g.MaySendInbound(sys("chat")); got != want {
			t.Errorf("%s grants sending to the business system: %v", pattern, got)
		}
		g.Systems = []string{"shop-*"}
		if g.MaySendInbound(sys("chat")) {
			t.Errorf("%s grants sending to a system that the session may not attach to", pattern)
		}
	}
	for _, text := range []string{"user:inbound", "room:inbound", "room:x/inbound", "session:inbound"} {
		to, err := domain.ParseTarget(text)
		if err != nil {
			t.Fatal(err)
		}
		if g := (domain.Grant{Systems: []string{"chat"}, Send: []string{"chat/inbound", "*/inbound"}}); g.MaySend(sys("chat"), to) {
			t.Errorf("the right to send to the business system is one to send to %s", text)
		}
	}
	if (&domain.Grant{}).MayAttach(sys("chat")) {
		t.Error("an empty grant grants")
	}
}

func TestScopes(t *testing.T) {
	orders, err := domain.ParseSystem("orders")
	if err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[string]bool{"*": true, "publish/orders": true, "publish/*": true, "publish/o*": true,
		"publish/chat": false, "read/orders": false, "": false, "publish": false} {
		if got := (domain.Scopes{scope}).Allow("publish", orders); got != want {
			t.Errorf("%q: %v", scope, got)
		}
	}
}

func TestGlobIsNotSlow(t *testing.T) {
	// A thousand stars against a long name that does not match: a matcher that
	// backtracks over all of them would need exponential time.
	g := domain.Grant{Systems: []string{"chat"}, Rooms: []string{"chat/" + strings.Repeat("*a", 1000) + "b"}}
	s, err := domain.ParseSystem("chat")
	if err != nil {
		t.Fatal(err)
	}
	if g.MayJoin(s, strings.Repeat("a", 100_000)) {
		t.Error("matched")
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(domain.Cursor{Log: 7, Position: "\x00\x01", Time: time.UnixMilli(1_700_000_000_123).UTC(), ID: 9}.String())
	f.Add("AQ")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := domain.ParseCursor(token)
		if err != nil {
			if !errors.Is(err, domain.ErrInvalid) {
				t.Fatalf("%q: %v", token, err)
			}
			return
		}
		again, err := domain.ParseCursor(string(c.Append(nil)))
		if err != nil || again != c {
			t.Fatalf("%q: %+v became %+v, %v", token, c, again, err)
		}
	})
}

func FuzzParseTarget(f *testing.F) {
	f.Add("user:alice")
	f.Add("*")
	f.Fuzz(func(t *testing.T, text string) {
		if target, err := domain.ParseTarget(text); err == nil && target.String() != text {
			t.Fatalf("%q became %q", text, target)
		}
	})
}

func TestAtBuildsThePathFromTheInside(t *testing.T) {
	_, err := domain.ParseTarget("nobody")
	err = domain.At("[3]", domain.At("to", domain.At("[1]", err)))
	var field *domain.FieldError
	if !errors.As(err, &field) || field.Path != "[3].to[1]" {
		t.Errorf("%+v", err)
	}
}
