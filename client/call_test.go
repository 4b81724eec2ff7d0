package client_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/client"
)

// result is what a call returned.
type result struct {
	id  string
	err error
}

func later(call func() (string, error)) <-chan result {
	done := make(chan result, 1)
	go func() {
		id, err := call()
		done <- result{id, err}
	}()
	return done
}

func (u *user) join(room, since string) <-chan result {
	return later(func() (string, error) { return "", u.Join(context.Background(), "chat", room, since) })
}

func (u *user) leave(room string) <-chan result {
	return later(func() (string, error) { return "", u.Leave(context.Background(), "chat", room) })
}

func (u *user) send(ctx context.Context, m client.Sending) <-chan result {
	return later(func() (string, error) { return u.Send(ctx, "chat", m) })
}

func TestAnswersFindTheirCalls(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	one := u.send(t.Context(), client.Sending{To: []string{"room:lobby"}, Type: "said", Data: map[string]int{"n": 1}, TTL: time.Minute, Headers: map[string]string{"a": "b"}})
	v.wants(`{"op":"send","ref":1,"system":"chat","to":["room:lobby"],"type":"said","ttl":60,"headers":{"a":"b"},"data":{"n":1}}`)
	two := u.send(t.Context(), client.Sending{ID: "m2"})
	v.wants(`{"op":"send","ref":2,"system":"chat","id":"m2","data":null}`)
	v.says(`{"op":"error","ref":2,"code":"forbidden","message":"not there"}`, `{"op":"ok","ref":1,"id":"m1"}`, `{"op":"ok","ref":1,"id":"again"}`, `{"op":"ok","ref":77}`)
	if got := receive(t, one, "the answer"); got != (result{"m1", nil}) {
		t.Errorf("the first: %v", got)
	}
	var refused *client.OpError
	if got := receive(t, two, "the answer"); !errors.As(got.err, &refused) || *refused != (client.OpError{Code: "forbidden", Message: "not there"}) {
		t.Errorf("the second: %v", got)
	}
	u.leaves()
}

func TestDataIsEncodedByItsKind(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	ref := 0
	for _, tt := range []struct {
		m    client.Sending
		want string
	}{
		{client.Sending{Data: "text"}, `"data":"text"`},
		{client.Sending{Data: json.RawMessage(`[1]`)}, `"data":[1]`},
		{client.Sending{Data: []byte("ab")}, `"data_base64":"YWI="`},
		{client.Sending{Data: []byte(nil)}, `"data_base64":""`},
		{client.Sending{Data: "ab", ContentType: "text/plain"}, `"content_type":"text/plain","data_base64":"YWI="`},
		{client.Sending{Data: "", ContentType: "text/html"}, `"content_type":"text/html","data_base64":""`},
		{client.Sending{Data: map[string]int{"n": 1}, ContentType: "Application/x+JSON; v=1"}, `"content_type":"Application/x+JSON; v=1","data":{"n":1}`},
		{client.Sending{Data: json.RawMessage(`"\ud83d"`)}, `"data":"\ud83d"`},
		{client.Sending{TTL: time.Millisecond}, `"ttl":1,"data":null`}, // 0 would be forever
		{client.Sending{TTL: 1500 * time.Millisecond}, `"ttl":2,"data":null`},
		{client.Sending{Data: 1, ContentType: "application/json"}, `"content_type":"application/json","data":1`},
	} {
		ref++
		done := u.send(t.Context(), tt.m)
		v.wants(fmt.Sprintf(`{"op":"send","ref":%d,"system":"chat",%s}`, ref, tt.want))
		v.says(fmt.Sprintf(`{"op":"ok","ref":%d}`, ref))
		receive(t, done, "the answer")
	}
	for _, bad := range []client.Sending{{Data: make(chan int)}, {Data: 1, ContentType: "text/plain"}, {TTL: -time.Millisecond},
		{ID: "\xff"}, {Type: "\xff"}, {To: []string{"room:\xff"}}, {Headers: map[string]string{"\xff": ""}}, {Headers: map[string]string{"a": "\xff"}},
		{Data: []byte{}, ContentType: "\xff"}, {Data: json.RawMessage("\"\xff\"")}, {Data: 1, ContentType: "application/json;charset=utf-16"}} {
		if _, err := u.Send(t.Context(), "chat", bad); err == nil {
			t.Errorf("%v was sent", bad)
		}
	}
	if err := u.Join(t.Context(), "chat", "\xff", ""); err == nil {
		t.Error("a room that is not UTF-8 was joined, as another one")
	}
	var refused *client.OpError
	if _, err := u.Send(t.Context(), "chat", client.Sending{Data: strings.Repeat("x", 92<<10)}); !errors.As(err, &refused) || refused.Code != "too_large" {
		t.Errorf("too large: %v", err)
	}
	u.leaves()
}

func TestSendIsSentOnce(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.visit() // no session yet
	early := u.send(t.Context(), client.Sending{Data: "early"})
	v.accept()
	v.says(hello)
	v.wants(`{"op":"send","ref":1,"system":"chat","data":"early"}`)
	v.closes(0)
	if got := receive(t, early, "the answer"); !errors.Is(got.err, client.ErrUnknown) {
		t.Errorf("the lost one: %v", got)
	}
	v = n.hello()
	next := u.send(t.Context(), client.Sending{Data: "next"})
	v.wants(`{"op":"send","ref":2,"system":"chat","data":"next"}`)
	v.says(`{"op":"ok","ref":2,"id":"m2"}`)
	if got := receive(t, next, "the answer"); got != (result{"m2", nil}) {
		t.Errorf("the next one: %v", got)
	}
	u.leaves()
}

func TestCallsEndWithTheirContextAndWithRun(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.visit()
	ctx, cancel := context.WithCancel(t.Context())
	unsent := u.send(ctx, client.Sending{Data: 1})
	cancel()
	if got := receive(t, unsent, "the end"); !errors.Is(got.err, context.Canceled) || errors.Is(got.err, client.ErrUnknown) {
		t.Errorf("never sent: %v", got)
	}
	v.accept()
	v.says(hello)
	ctx, cancel = context.WithCancel(t.Context())
	sent := u.send(ctx, client.Sending{Data: 2})
	for !strings.Contains(v.hears(), `"data":2`) { // the first call may have reached the writer before its context ended, or not
	}
	cancel()
	if got := receive(t, sent, "the end"); !errors.Is(got.err, context.Canceled) || !errors.Is(got.err, client.ErrUnknown) {
		t.Errorf("sent: %v", got)
	}
	last, join := u.send(t.Context(), client.Sending{Data: 3}), u.join("x", "")
	v.hears()
	v.hears()
	u.leaves()
	if got := receive(t, last, "the end"); !errors.Is(got.err, client.ErrUnknown) {
		t.Errorf("at the end of Run: %v", got)
	}
	if got := receive(t, join, "the end"); !errors.Is(got.err, client.ErrClosed) {
		t.Errorf("at the end of Run: %v", got)
	}
	if err := u.Join(t.Context(), "chat", "x", ""); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Run: %v", err)
	}
}

func TestJoinIsRepeatedUntilItIsAnsweredAndThenNamedAtConnect(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	done := u.join("lobby", "c5")
	const op = `{"op":"join","ref":1,"system":"chat","room":"lobby","since":"c5"}`
	v.wants(op)
	v.closes(0)
	v = n.hello()
	if v.URL.Query().Has("rooms") {
		t.Error("the room is named before it was joined")
	}
	v.wants(op)
	v.says(`{"op":"message","system":"chat","id":"6","data":6}`, `{"op":"ok","ref":1}`)
	u.hears("message 6 6")
	if got := receive(t, done, "the answer"); got.err != nil {
		t.Error(got.err)
	}
	v.closes(0)
	v = n.hello()
	if got := v.URL.Query()["rooms"]; !slices.Equal(got, []string{"chat/lobby"}) {
		t.Errorf("it came back with rooms %v", got)
	}
	refused := u.join("attic", "")
	v.wants(`{"op":"join","ref":2,"system":"chat","room":"attic"}`)
	v.says(`{"op":"error","ref":2,"code":"forbidden"}`)
	if got := receive(t, refused, "the answer"); got.err == nil {
		t.Error("joined what is forbidden")
	}
	v.closes(0)
	if got := n.hello().URL.Query()["rooms"]; !slices.Equal(got, []string{"chat/lobby"}) {
		t.Errorf("after a refused join it came back with rooms %v", got)
	}
	u.leaves()
}

func TestJoinThatFindsTheNodeBusyIsAskedAgain(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	done := u.join("lobby", "c5")
	for ref := range 3 {
		v.wants(fmt.Sprintf(`{"op":"join","ref":%d,"system":"chat","room":"lobby","since":"c5"}`, ref+1))
		answer := `{"op":"error","ref":%d,"code":"busy"}`
		if ref == 2 {
			answer = `{"op":"ok","ref":%d}`
		}
		v.says(fmt.Sprintf(answer, ref+1))
	}
	if got := receive(t, done, "the answer"); got.err != nil {
		t.Error(got.err)
	}
	u.leaves()
}

func TestLeftRoomsAreNotEnteredAgain(t *testing.T) {
	n := newNode(t)
	u := n.connect(func(c *client.Config) { c.Rooms = []string{"chat/a", "chat/b", "chat/c"} })
	v := n.visit() // its address names all three rooms
	if err := u.Leave(t.Context(), "chat", "a"); err != nil {
		t.Error(err)
	}
	v.accept()
	v.says(hello)
	v.wants(`{"op":"leave","room":"a","system":"chat"}`)
	join := u.join("d", "")
	v.wants(`{"op":"join","ref":1,"system":"chat","room":"d"}`)
	left := u.leave("d")
	if got := receive(t, join, "the join"); !errors.Is(got.err, client.ErrLeft) {
		t.Errorf("the join: %v", got)
	}
	v.wants(`{"op":"leave","ref":2,"room":"d","system":"chat"}`)
	v.says(`{"op":"ok","ref":1}`, `{"op":"ok","ref":2}`)
	if got := receive(t, left, "the answer"); got.err != nil {
		t.Error(got.err)
	}
	left = u.leave("b")
	v.wants(`{"op":"leave","ref":3,"room":"b","system":"chat"}`)
	v.closes(0)
	if got := receive(t, left, "the end"); got.err != nil {
		t.Errorf("a leave without an answer: %v", got)
	}
	if got := n.hello().URL.Query()["rooms"]; !slices.Equal(got, []string{"chat/c"}) {
		t.Errorf("it came back with rooms %v", got)
	}
	u.leaves()
}

func TestWhatANewTokenLacksIsNotAskedForAgain(t *testing.T) {
	n := newNode(t)
	u := n.connect(func(c *client.Config) { c.Rooms = []string{"orders/x", "chat/a", "chat/b"} })
	v := n.hello()
	v.says(`{"op":"left","system":"chat","room":"a","reason":"token"}`)
	u.hears("left chat/a token")
	v.closes(0)
	v = n.hello()
	if got := v.URL.Query()["rooms"]; !slices.Equal(got, []string{"orders/x", "chat/b"}) {
		t.Errorf("it came back with rooms %v", got)
	}
	v.says(message("chat", "1", "c1"), `{"op":"left","system":"chat","reason":"token"}`)
	u.hears(`message 1 {"n":1}`, "left chat/ token")
	v.closes(0)
	if q := n.hello().URL.Query(); q.Get("systems") != "orders" || !slices.Equal(q["rooms"], []string{"orders/x"}) || !slices.Equal(q["resume"], []string{"orders:o0"}) {
		t.Errorf("it came back with %v", q)
	}
	u.leaves()
}

func TestHandlersMayCall(t *testing.T) {
	n := newNode(t)
	var c *client.Client
	ids := make(chan result)
	ready := make(chan struct{})
	u := n.connect(func(cfg *client.Config) {
		cfg.QueueBytes = 2000
		cfg.Handler.Message = func(ctx context.Context, m *client.Message) error {
			<-ready
			id, err := c.Send(ctx, "chat", client.Sending{Data: m.ID})
			ids <- result{id, err}
			return nil
		}
	})
	c = u.Client
	close(ready)
	v := n.hello()
	// More than QueueBytes stands before the answer.
	v.says(message("chat", "1", "c1"), message("chat", "2", "c2"), message("chat", "3", "c3"), message("chat", "4", "c4"))
	v.wants(`{"op":"send","ref":1,"system":"chat","data":"1"}`)
	v.says(`{"op":"ok","ref":1,"id":"m1"}`)
	if got := receive(t, ids, "the answer"); got != (result{"m1", nil}) {
		t.Errorf("got %v", got)
	}
	// The connection is lost meanwhile. A handler that waits for its answer does not
	// keep the client from connecting again.
	v.wants(`{"op":"send","ref":2,"system":"chat","data":"2"}`)
	v.closes(0)
	if got := receive(t, ids, "the answer"); !errors.Is(got.err, client.ErrUnknown) {
		t.Errorf("got %v", got)
	}
	v = n.hello()
	v.wants(`{"op":"send","ref":3,"system":"chat","data":"3"}`)
	u.stop()
	receive(t, ids, "the end")
	if err := u.end(); err != nil {
		t.Error(err)
	}
}

func TestCallsAreBounded(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	n.visit()
	var waiting []<-chan result
	for range 1001 {
		waiting = append(waiting, u.send(t.Context(), client.Sending{}))
	}
	u.stop()
	busy := 0
	for _, w := range waiting {
		if errors.Is(receive(t, w, "the end").err, client.ErrBusy) {
			busy++
		}
	}
	if busy > 1 {
		t.Errorf("%d of 1,001 calls were too many", busy)
	}
	if err := u.end(); err != nil {
		t.Error(err)
	}
}

// jwt returns a token with a false signature: only nodes check it.
func jwt(exp string) string {
	return "h." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"alice","exp":`+exp+`}`)) + ".s"
}

func TestTokensAreReplacedBeforeTheyExpire(t *testing.T) {
	now := time.Unix(2_000_000_000, 0)
	for token, want := range map[string]time.Duration{
		jwt("2000001000"): 1000 * time.Second, jwt(`2000001000,"Exp":1`): 1000 * time.Second, jwt("2000001000.25"): 1000 * time.Second,
		jwt("9999999999"): 7_999_999_999 * time.Second, jwt("1099511627776"): math.MaxInt64, jwt("1099511627777"): 0,
		jwt("2000000005"): 0, jwt("1"): 0, jwt("-1"): 0, jwt(`"x"`): 0, jwt("1e300"): 0, "": 0, "a.b.c": 0, "opaque": 0,
	} {
		if got := client.KeepFor(token, now); got < want/4*3 || got > want/10*9+9 {
			t.Errorf("%s: kept for %v of %v", token, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		hello, message("orders", "1", "o1"), `{"op":"gap","system":"a","reason":"lossy","cursor":null,"after_ms":-9}`,
		`{"op":"message","content_type":"text/plain","data":"hi","time":"2030-01-01T00:00:00.000Z","headers":{"a":"b"}}`,
		`{"op":"message","data_base64":"AAE="}`, `{"op":"ok","ref":"x"}`,
		`{"op":"presence","system":"chat","room":"a","count":2.0,"users":["x",""],"joined":null,"left":[]}`,
		`{"op":"disconnect","code":4100,"reason":"x","reconnect":true}`, `{"op":"disconnect","code":"4009"}`,
		`{"op":"joined","system":"chat","room":"a","by":"server"}`, `{"op":"news","system":1}`, `{"op":null}`, `null`, `[]`, `{`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		name, m, err := client.Parse(raw)
		if err != nil {
			if !errors.Is(err, client.ErrProtocol) {
				t.Errorf("%v does not wrap ErrProtocol", err)
			}
			return
		}
		if !json.Valid(raw) {
			t.Errorf("%q is no JSON and was taken as %q", raw, name)
		}
		if m.ContentType == "application/json" && !json.Valid(m.Data) && !strings.Contains(string(raw), "base64") && !strings.Contains(string(raw), "content") {
			t.Errorf("data %q of %q is no JSON", m.Data, raw)
		}
	})
}

func TestADelayMayBeWrittenAsAnyNumber(t *testing.T) {
	for _, number := range []string{"30", "30.0", "3e1", "30.7", "-5", "1e400", "99999999999999999999", "null"} {
		for _, op := range []string{`{"op":"gap","system":"a","reason":"lossy","after_ms":` + number + `}`, `{"op":"goaway","retry_ms":` + number + `}`} {
			if _, _, err := client.Parse([]byte(op)); err != nil {
				t.Errorf("%s: %v", op, err)
			}
		}
	}
	if _, _, err := client.Parse([]byte(`{"op":"gap","after_ms":"30"}`)); err == nil {
		t.Error("a string is no number")
	}
}

func TestDataIsWhatItsContentTypeSays(t *testing.T) {
	for raw, want := range map[string]string{
		`{"op":"message","content_type":"text/html; charset=utf-8","data":"<p>"}`:      `<p>`,
		`{"op":"message","content_type":"text/plain","data":""}`:                       ``,
		`{"op":"message","content_type":"application/x+json","data":"quoted"}`:         `"quoted"`,
		`{"op":"message","content_type":"Application/JSON","data":""}`:                 `""`,
		`{"op":"message","content_type":"application/json;;","data":"x"}`:              `"x"`,
		`{"op":"message","content_type":"application/json; charset*=a''b","data":"x"}`: `"x"`,
		`{"op":"message","content_type":"text/x+json","data":"x"}`:                     `"x"`,
		`{"op":"message","content_type":" Text/HTML ;;","data":"x"}`:                   `x`,
		`{"op":"message","data":"\ud83d"}`:                                             `"\ud83d"`,
		`{"op":"message","data":null}`:                                                 `null`,
		`{"op":"message","content_type":"image/png","data_base64":""}`:                 ``,
	} {
		if _, m, err := client.Parse([]byte(raw)); err != nil || string(m.Data) != want || m.Data == nil {
			t.Errorf("%s: data %q, %v", raw, m.Data, err)
		}
	}
}
