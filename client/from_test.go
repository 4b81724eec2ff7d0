package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/client"
)

type ctx = context.Context

func TestAClientBeginsWhereTheStateWasRead(t *testing.T) {
	n := newNode(t)
	u := n.connect(func(c *client.Config) {
		c.From = map[string]string{"orders": "o5", "other": "x"}
		c.Resume = map[string]string{"orders": "o1", "chat": "c1"}
	})
	v := n.visit()
	if got := v.URL.Query()["resume"]; fmt.Sprint(got) != "[chat:c1 orders:o5]" {
		t.Errorf("it resumes from %v", got)
	}
	v.accept()
	v.says(hello, message("orders", "m6", "o6"))
	u.hears(`message m6 {"n":1}`)
	v.closes(0)
	if got := n.hello().URL.Query()["resume"]; fmt.Sprint(got) != "[chat:c1 orders:o6]" {
		t.Errorf("then it resumes from %v", got)
	}
}

func TestTheLatestMessagesAreAskedForWithoutACursor(t *testing.T) {
	n := newNode(t)
	told := make(chan *client.Hello, 9)
	u := n.connect(func(c *client.Config) {
		c.URL += "&last=orders:7"
		c.Last = map[string]client.Last{"orders": {Count: 20}, "chat": {Age: 90 * time.Second}}
		c.Handler.Hello = func(_ ctx, h *client.Hello) error { told <- h; return nil }
	})
	v := n.visit()
	if got := v.URL.Query()["last"]; fmt.Sprint(got) != "[chat:1m30s orders:20]" || v.URL.Query().Has("resume") {
		t.Errorf("it asks for %v", v.URL.Query())
	}
	v.accept()
	v.says(`{"op":"hello","session":"s","systems":{"orders":{"cursor":"o1","last":{"complete":false,"reason":"trimmed"}},"chat":{"cursor":null,"last":{"complete":true}}}}`)
	h := receive(t, told, "the hello")
	if got := h.Systems["orders"].Last; got == nil || *got != (client.Coverage{Reason: "trimmed"}) {
		t.Errorf("orders: %v", got)
	}
	if got := h.Systems["chat"].Last; got == nil || *got != (client.Coverage{Complete: true}) {
		t.Errorf("chat: %v", got)
	}
	u.at(map[string]string{"orders": "o1"})
	v.closes(0)
	v = n.visit()
	if got := v.URL.Query(); fmt.Sprint(got["last"], got["resume"]) != "[chat:1m30s] [orders:o1]" {
		t.Errorf("then it asks for %v", got)
	}
	v.accept()
	v.says(hello)
	if got := receive(t, told, "the hello").Systems["orders"].Last; got != nil {
		t.Errorf("nobody asked, but: %v", got)
	}
}

func TestARoomIsJoinedWithItsLatestMessages(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	type outcome struct {
		all *client.Coverage
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		all, err := u.JoinLast(t.Context(), "chat", "lobby", client.Last{Count: 5})
		done <- outcome{all, err}
	}()
	v.wants(`{"op":"join","ref":1,"system":"chat","room":"lobby","last":5}`)
	v.closes(0)
	v = n.hello() // the answer was lost, so it asks again
	v.wants(`{"op":"join","ref":1,"system":"chat","room":"lobby","last":5}`)
	v.says(`{"op":"message","system":"chat","id":"c1","to":"room:lobby","data":1}`, `{"op":"ok","ref":1,"last":{"complete":false,"reason":"too_far"}}`)
	u.hears("message c1 1")
	got := receive(t, done, "the answer")
	if got.err != nil || got.all == nil || *got.all != (client.Coverage{Reason: "too_far"}) {
		t.Errorf("%v %v", got.all, got.err)
	}
	v.closes(0)
	if got := n.hello().URL.Query()["rooms"]; fmt.Sprint(got) != "[chat/lobby]" {
		t.Errorf("it names the rooms %v", got)
	}
	if _, err := u.JoinLast(t.Context(), "chat", "lobby", client.Last{}); err == nil {
		t.Error("it took a Last that says nothing")
	}
}

func TestALastHasACountOrAnAge(t *testing.T) {
	for last, want := range map[client.Last]bool{
		{Count: 1}: true, {Count: 1000}: true, {Age: time.Second}: true, {}: false, {Count: 1001}: false, {Count: -1}: false,
		{Age: -1}: false, {Count: 1, Age: 1}: false, {Age: 367 * 24 * time.Hour}: false,
	} {
		_, err := client.New(client.Config{URL: "http://h", Systems: []string{"a"}, Last: map[string]client.Last{"a": last}})
		if (err == nil) != want {
			t.Errorf("%+v: %v", last, err)
		}
	}
}

// A library answers one request, and remembers it.
type library struct {
	*http.Request
	status int
	text   string
}

func (l *library) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.Request = r
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(l.status)
	fmt.Fprint(w, l.text)
}

func (l *library) config(t *testing.T) client.Config {
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	return client.Config{URL: server.URL + "/push/?user=alice", Token: func(ctx) (string, error) { return "t1", nil }}
}

func TestACursorIsFetched(t *testing.T) {
	l := &library{status: 200, text: `{"system":"orders","cursor":"o9","time":"2026-01-31T12:00:00Z"}`}
	cfg := l.config(t)
	if got, err := cfg.FetchCursor(t.Context(), "orders"); got != "o9" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if l.RequestURI != "/push/v1/systems/orders/cursor?user=alice" || l.Header.Get("Authorization") != "Bearer t1" {
		t.Errorf("it asked for %s %v", l.RequestURI, l.Header)
	}
	l.status, l.text = 403, `{"detail":"no"}`
	refused := (*client.Refusal)(nil)
	if _, err := cfg.FetchCursor(t.Context(), "orders"); !errors.As(err, &refused) || refused.Status != 403 || refused.Detail != "no" {
		t.Error(err)
	}
	for _, text := range []string{`{}`, `{"cursor":1}`, `<html>`} {
		l.status, l.text = 200, text
		if got, err := cfg.FetchCursor(t.Context(), "orders"); err == nil {
			t.Errorf("%s gave %q", text, got)
		}
	}
	if _, err := cfg.FetchCursor(t.Context(), "../x"); err == nil {
		t.Error("it took a name that is none")
	}
	cfg.Token = func(ctx) (string, error) { return "", errors.New("none today") }
	if _, err := cfg.FetchCursor(t.Context(), "orders"); err == nil || !strings.Contains(err.Error(), "none today") {
		t.Error(err)
	}
}

func TestAPageIsFetched(t *testing.T) {
	l := &library{status: 200, text: `{"system":"orders","messages":[
		{"op":"message","system":"orders","id":"m1","cursor":"o1","to":"*","content_type":"text/plain","data":"hi"},
		{"op":"message","system":"orders","id":"m2","cursor":"o2","to":["room:a","room:b"],"data":2}],
		"next":"o1","complete":false,"reason":"trimmed"}`}
	cfg := l.config(t)
	page, err := cfg.FetchPage(t.Context(), client.PageQuery{System: "orders", To: []string{"room:a", "*"}, Before: "o3", Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := l.URL.Query().Encode(); got != "before=o3&limit=2&to=room%3Aa&to=%2A&user=alice" {
		t.Errorf("it asked for %s", got)
	}
	if page.Next != "o1" || page.Coverage != (client.Coverage{Reason: "trimmed"}) || len(page.Messages) != 2 {
		t.Fatalf("%+v", page)
	}
	if m := page.Messages[0]; string(m.Data) != "hi" || m.Cursor != "o1" || m.To != "*" {
		t.Errorf("the first: %+v", m)
	}
	if m := page.Messages[1]; string(m.Data) != "2" || m.To != "room:a" {
		t.Errorf("the second: %+v", m)
	}
	if _, err := cfg.FetchPage(t.Context(), client.PageQuery{System: "orders", After: "o9"}); err != nil || l.URL.Query().Encode() != "after=o9&user=alice" {
		t.Errorf("%v %s", err, l.URL.Query().Encode())
	}
}
