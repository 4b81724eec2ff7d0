package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/client"
)

func TestComesBackWithTheCursorOfEachSystem(t *testing.T) {
	n := newNode(t)
	u := n.connect(func(c *client.Config) { c.Rooms = []string{"chat/lobby"} })
	v := n.hello()
	if q := v.URL.Query(); v.URL.Path != "/ws" || q.Get("systems") != "orders,chat" || q.Get("user") != "alice" || q.Get("rooms") != "chat/lobby" || q.Has("resume") {
		t.Errorf("at first it asked for %v", v.URL)
	}
	v.says(message("orders", "1", "o1"), `{"op":"cursor","system":"chat","cursor":"c1"}`)
	u.hears(`message 1 {"n":1}`)
	v.closes(0)

	v = n.hello() // the cursor o0 in its hello is not the one that the client has
	if got := v.URL.Query()["resume"]; !slices.Equal(got, []string{"chat:c1", "orders:o1"}) {
		t.Errorf("it came back with %v", got)
	}
	v.closes(1001)
	v = n.hello()
	if got := v.URL.Query()["resume"]; !slices.Equal(got, []string{"chat:c1", "orders:o1"}) {
		t.Errorf("a hello moved it to %v", got)
	}
	u.leaves()
}

func TestGapsAndMessagesWithoutCursorLeaveTheOneThereIs(t *testing.T) {
	n := newNode(t)
	u := n.connect(func(c *client.Config) { c.Resume = map[string]string{"orders": "o7", "other": "x"} })
	v := n.hello()
	v.says(`{"op":"gap","system":"orders","reason":"trimmed","after_ms":350}`, `{"op":"message","system":"orders","id":"2"}`)
	u.hears("gap orders trimmed 350ms", "message 2 null")
	u.at(map[string]string{"orders": "o7"})
	v.says(`{"op":"gap","system":"orders","reason":"lossy","cursor":"o9","after_ms":-1}`, `{"op":"cursor","system":"orders","cursor":null}`, message("unknown", "3", "u1"))
	u.hears("gap orders lossy 0s", `message 3 {"n":1}`)
	u.at(map[string]string{"orders": "o9"})
	v.closes(0)
	if got := n.hello().URL.Query()["resume"]; !slices.Equal(got, []string{"orders:o9"}) {
		t.Errorf("it came back with %v", got)
	}
	u.leaves()
}

func TestCursorIsThereOnceTheMessageWasHandled(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	v.says(message("orders", "1", "o1"), message("orders", "2", "o2"))
	u.hears(`message 1 {"n":1}`)
	u.at(map[string]string{"orders": "o1"})
	v.closes(0)
	// The client resumes behind what waits in the queue for the handler.
	if got := n.hello().URL.Query().Get("resume"); got != "orders:o2" {
		t.Errorf("it came back with %v", got)
	}
	// If Run ends before the handler was called for it, the cursor has not moved.
	u.leaves()
	u.at(map[string]string{"orders": "o1"})
	u.run()
	if got := n.hello().URL.Query().Get("resume"); got != "orders:o1" {
		t.Errorf("the second Run began at %v", got)
	}
	u.leaves()
}

func TestHandlersErrorEndsRunAndLeavesTheCursor(t *testing.T) {
	failed := errors.New("full")
	n := newNode(t)
	u := n.connect(func(c *client.Config) {
		c.Handler.Message = func(_ context.Context, m *client.Message) error {
			if m.ID == "2" {
				return failed
			}
			return nil
		}
	})
	v := n.hello()
	v.says(message("orders", "1", "o1"), message("orders", "2", "o2"), message("orders", "3", "o3"))
	if err := u.end(); !errors.Is(err, failed) {
		t.Errorf("Run returned %v", err)
	}
	u.at(map[string]string{"orders": "o1"})
	if got := v.hears(); !strings.Contains(got, "1000") {
		t.Errorf("the node heard %s; want a goodbye", got)
	}
}

func TestStaysAwayAsLongAsANodeAsks(t *testing.T) {
	for name, tt := range map[string]struct {
		scene func(*node)
		least time.Duration
	}{
		"goaway": {func(n *node) { v := n.hello(); v.says(`{"op":"goaway","retry_ms":1840000}`); v.closes(1001) }, 1840 * time.Second},
		"503":    {func(n *node) { n.visit().refuse(503, "7") }, 7 * time.Second},
		"429":    {func(n *node) { n.visit().refuse(429, "8") }, 8 * time.Second},
		"hours": {func(n *node) {
			v := n.hello()
			v.says(`{"op":"goaway","retry_ms":9000000000000000000}`)
			v.closes(1001)
		}, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			lost := make(chan *client.Lost, 1)
			u := n.connect(func(c *client.Config) {
				c.Handler.Lost = func(_ context.Context, l *client.Lost) error { lost <- l; return nil }
			})
			tt.scene(n)
			if l := receive(t, lost, "the loss"); l.Delay < tt.least || l.Delay > tt.least+time.Second || l.Err == nil {
				t.Errorf("it waits %v after %v", l.Delay, l.Err)
			}
			u.leaves()
		})
	}
}

func TestComesBackAfterTroubleThatPasses(t *testing.T) {
	for name, trouble := range map[string]func(*node){
		"busy":         func(n *node) { n.visit().refuse(503, "") },
		"not there":    func(n *node) { n.visit().refuse(502, "") },
		"proxy's 404":  func(n *node) { v := n.visit(); http.NotFound(v.w, v.Request); close(v.done) },
		"no WebSocket": func(n *node) { close(n.visit().done) },
		"no protocol": func(n *node) {
			v := n.visit()
			v.Header.Del("Sec-WebSocket-Protocol")
			v.accept()
		},
		"slow":         func(n *node) { n.hello().closes(4008) },
		"no goodbye":   func(n *node) { n.hello().closes(0) },
		"no hello":     func(n *node) { v := n.visit(); v.accept(); v.closes(0) },
		"no JSON":      func(n *node) { n.hello().says("{") },
		"no object":    func(n *node) { n.hello().says("[]") },
		"no op":        func(n *node) { n.hello().says("null") },
		"wrong type":   func(n *node) { n.hello().says(`{"op":"message","id":1}`) },
		"bytes":        func(n *node) { n.hello().says("\x00\xff\n\n") },
		"unknown code": func(n *node) { n.hello().closes(4050) },
		"disconnected": func(n *node) {
			n.hello().says(`{"op":"disconnect","code":4009,"reason":"moved","reconnect":true}`)
		},
		"disconnected with a code of one's own": func(n *node) {
			v := n.hello()
			v.says(`{"op":"disconnect","code":4100,"reconnect":true}`)
			v.closes(4100)
		},
		"going away":     func(n *node) { n.hello().closes(1001) },
		"internal error": func(n *node) { n.hello().closes(1011) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			u := n.connect()
			trouble(n)
			n.hello().says(message("orders", "1", "o1"))
			u.hears(`message 1 {"n":1}`)
			u.leaves()
		})
	}
}

func TestDoesNotComeBackWhereItIsNotWanted(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 422} {
		n := newNode(t)
		u := n.connect()
		n.visit().refuse(status, "")
		var r *client.Refusal
		if err := u.end(); !errors.As(err, &r) || r.Status != status || r.Detail != "no" || len(r.Errors) != 1 {
			t.Errorf("%d: Run returned %v", status, err)
		}
	}
	for _, code := range []int{1008, 1009, 4001, 4003, 4009, 4010, 4100, 4999} { // 4001, since Config.Token is nil
		n := newNode(t)
		u := n.connect()
		v := n.hello()
		v.says(message("orders", "1", "o1"))
		v.closes(code)
		u.hears(`message 1 {"n":1}`) // the handler is still called for what came before
		var c *client.CloseError
		if err := u.end(); !errors.As(err, &c) || c.Code != code || c.Reason != "because" {
			t.Errorf("%d: Run returned %v", code, err)
		}
	}
}

func TestFrameThatIsTooLargeEndsRun(t *testing.T) {
	n := newNode(t)
	u := n.connect(func(c *client.Config) { c.FrameBytes = 1000 })
	n.hello().says(message("orders", strings.Repeat("x", 1000), "o1"))
	if err := u.end(); err == nil || !strings.Contains(err.Error(), "FrameBytes") {
		t.Errorf("Run returned %v", err)
	}
}

func TestOpsAndFieldsThatAreNotKnownAreIgnored(t *testing.T) {
	n := newNode(t)
	var raw []string
	u := n.connect(func(c *client.Config) {
		c.Handler.Op = func(_ context.Context, op []byte) error { raw = append(raw, string(op)); return nil }
	})
	v := n.hello()
	ops := []string{`{"op":"news","system":7}`, `{"op":"bus","up":true,"since":"noon"}`}
	v.says(ops[0], `{"op":"ok","ref":"x"}`, `{"op":"error","code":"invalid"}`, ops[1])
	u.hears("bus true")
	u.leaves()
	if want := append([]string{hello}, ops...); !slices.Equal(raw, want) {
		t.Errorf("got %q", raw)
	}
}

func TestExpiredTokenIsReplaced(t *testing.T) {
	n := newNode(t)
	tokens := 0
	u := n.connect(func(c *client.Config) {
		c.Token = func(context.Context) (string, error) { tokens++; return fmt.Sprint("t", tokens), nil }
	})
	for i := range 3 {
		v := n.hello()
		if got := v.Header.Get("Authorization"); got != fmt.Sprint("Bearer t", i+1) {
			t.Errorf("connection %d came with %q", i, got)
		}
		v.closes(4001)
	}
	u.leaves()
}

func TestTokenThatCannotBeHadCountsAsALostConnection(t *testing.T) {
	n := newNode(t)
	failed := errors.New("locked out")
	lost := make(chan *client.Lost, 1)
	tries := 0
	u := n.connect(func(c *client.Config) {
		c.Token = func(context.Context) (string, error) {
			if tries++; tries == 1 {
				return "", failed
			}
			return "t", nil
		}
		c.Handler.Lost = func(_ context.Context, l *client.Lost) error { lost <- l; return nil }
	})
	n.hello()
	if l := receive(t, lost, "the failure"); !errors.Is(l.Err, failed) || l.Failures != 1 {
		t.Errorf("told %+v", l)
	}
	u.leaves()
}

func TestSlowHandlerHoldsTheNodeUp(t *testing.T) {
	n := newNode(t)
	u := n.connect(func(c *client.Config) { c.QueueBytes = 4 << 10 })
	v := n.hello()
	// The handler does not return, so the node can write no more once all buffers are full.
	big := strings.Repeat("x", 64<<10)
	sent := 0
	_ = v.conn.SetWriteDeadline(time.Now().Add(time.Second))
	for ; sent < 10_000; sent++ {
		if v.conn.WriteMessage(1, []byte(fmt.Sprintf(`{"op":"message","system":"orders","id":"%d","cursor":"o%d","data":"%s"}`, sent, sent, big))) != nil {
			break
		}
	}
	if sent == 10_000 {
		t.Fatal("the client reads what nobody takes")
	}
	v.closes(0)
	for i := range sent {
		want := fmt.Sprintf(`message %d "%s"`, i, big)
		if got := receive(t, u.told, "message"); got != want {
			t.Fatalf("message %d is another: %.20s", i, got)
		}
	}
	if got := n.hello().URL.Query().Get("resume"); got != fmt.Sprint("orders:o", sent-1) {
		t.Errorf("after %d messages it came back with %s", sent, got)
	}
	u.leaves()
}

func TestEndsWithItsContextInEveryState(t *testing.T) {
	blocked := func(started chan struct{}) func(context.Context) error {
		return func(ctx context.Context) error { close(started); <-ctx.Done(); return ctx.Err() }
	}
	for name, tt := range map[string]func(t *testing.T, n *node) *user{
		"getting a token": func(t *testing.T, n *node) *user {
			started := make(chan struct{})
			wait := blocked(started)
			u := n.connect(func(c *client.Config) {
				c.Token = func(ctx context.Context) (string, error) { return "", wait(ctx) }
			})
			receive(t, started, "the token")
			return u
		},
		"connecting":       func(t *testing.T, n *node) *user { u := n.connect(); n.visit(); return u },
		"before the hello": func(t *testing.T, n *node) *user { u := n.connect(); n.visit().accept(); return u },
		"connected":        func(t *testing.T, n *node) *user { u := n.connect(); n.hello(); return u },
		"between connections": func(t *testing.T, n *node) *user {
			u := n.connect(func(c *client.Config) { c.FirstPause, c.MaxPause = time.Hour, time.Hour })
			n.visit().refuse(503, "3000")
			return u
		},
		"in the handler": func(t *testing.T, n *node) *user {
			started := make(chan struct{})
			wait := blocked(started)
			u := n.connect(func(c *client.Config) {
				c.Handler.Hello = func(ctx context.Context, _ *client.Hello) error { return wait(ctx) }
			})
			n.hello()
			receive(t, started, "the handler")
			return u
		},
		"with a full queue": func(t *testing.T, n *node) *user {
			started := make(chan struct{})
			wait := blocked(started)
			u := n.connect(func(c *client.Config) {
				c.QueueBytes = 1
				c.Handler.Hello = func(ctx context.Context, _ *client.Hello) error { return wait(ctx) }
			})
			v := n.hello()
			receive(t, started, "the handler")
			v.says(message("orders", "1", "o1"), message("orders", "2", "o2"), message("orders", "3", "o3"))
			return u
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := tt(t, newNode(t))
			u.leaves()
		})
	}
}

func TestOneRunAtATime(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	n.hello()
	if err := u.Run(t.Context()); !errors.Is(err, client.ErrRunning) {
		t.Errorf("the second Run returned %v", err)
	}
	u.leaves()
}

func TestPanicOfAHandlerLeavesNothingBehind(t *testing.T) {
	n := newNode(t)
	c, err := client.New(client.Config{URL: n.url, Systems: []string{"orders"}, Handler: client.Handler{
		Hello: func(context.Context, *client.Hello) error { panic("oh") },
	}})
	if err != nil {
		t.Fatal(err)
	}
	go n.hello()
	defer func() {
		if recover() == nil {
			t.Error("the panic is hidden")
		}
		if _, err := c.Send(t.Context(), "orders", client.Sending{}); !errors.Is(err, client.ErrClosed) {
			t.Errorf("afterwards Send says %v", err)
		}
	}()
	_ = c.Run(t.Context())
}

func TestConfigFaultsAreNamed(t *testing.T) {
	_, err := client.New(client.Config{URL: "redis://h", Rooms: []string{"lobby", "chat/x"}, Timeout: -1, QueueBytes: -1})
	for _, want := range []string{"want http or https", "Systems", `"lobby"`, `"chat/x"`, "Timeout", "QueueBytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in %v", want, err)
		}
	}
	for _, bad := range []string{"", "localhost:8080", "http://", "http://%zz", "://", "http://u:secret@h:x"} {
		if _, err := client.New(client.Config{URL: bad, Systems: []string{"a"}}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPausesGrowAndDiffer(t *testing.T) {
	const draws = 2000
	for failures, span := range map[int]time.Duration{0: 1000, 1: 1000, 2: 2000, 3: 4000, 5: 16_000, 6: 30_000, 1000: 30_000} {
		var most time.Duration
		least := span
		for range draws {
			d := client.Backoff(1000, 30_000, failures)
			most, least = max(most, d), min(least, d)
		}
		if most > span || most < span*9/10 || least < 0 || least > span/10 {
			t.Errorf("after %d failures: %d to %d; want 0 to %d", failures, least, most, span)
		}
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "x": 0, "999999999": time.Hour,
		"Tue, 01 Jan 2030 00:00:09 GMT": 9 * time.Second, "Mon, 31 Dec 2029 00:00:00 GMT": 0,
	} {
		if got := client.RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: got %v; want %v", text, got, want)
		}
	}
}
