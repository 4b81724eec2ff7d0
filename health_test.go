package fanfare_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// A node is taken out of rotation when every client had better go to another
// node. Trouble with some of its systems is no reason for it, nor is trouble that
// every node has.
func TestOneDeafSystemDoesNotTakeTheNodeOutOfRotation(t *testing.T) {
	for name, tt := range map[string]struct {
		systems []string // of the node
		moving  bool     // it is set up for both buses
		marked  []string // systems that have left the old bus; no bridge copies them
		late    bool     // the node starts when these systems have left already
		refused []string // systems whose topics the bus does not let anybody follow
		mute    []string // systems of which nothing comes though something was published
		status  int
		phase   string
		deaf    []string
	}{
		"all is well":                         {systems: []string{"orders", "quiet"}, status: 200, phase: "ready"},
		"one of two has left":                 {systems: []string{"orders", "quiet"}, marked: []string{"quiet"}, status: 200, phase: "ready", deaf: []string{"quiet"}},
		"all have left":                       {systems: []string{"orders", "quiet"}, marked: []string{"orders", "quiet"}, status: 503, phase: "deaf", deaf: []string{"orders", "quiet"}},
		"all have left, but it serves any":    {systems: []string{"*"}, marked: []string{"orders"}, status: 200, phase: "ready", deaf: []string{"orders"}},
		"one waits for a bridge":              {systems: []string{"orders", "quiet"}, moving: true, marked: []string{"quiet"}, status: 200, phase: "ready", deaf: []string{"quiet"}},
		"all wait for a bridge, as all nodes": {systems: []string{"orders"}, moving: true, marked: []string{"orders"}, status: 200, phase: "ready", deaf: []string{"orders"}},
		"one waits as the node starts":        {systems: []string{"orders", "quiet"}, moving: true, marked: []string{"quiet"}, late: true, status: 200, phase: "ready", deaf: []string{"quiet"}},
		"all wait as the node starts":         {systems: []string{"orders"}, moving: true, marked: []string{"orders"}, late: true, status: 200, phase: "ready", deaf: []string{"orders"}},
		"one waits, one is not confirmed":     {systems: []string{"orders", "quiet"}, moving: true, marked: []string{"quiet"}, late: true, refused: []string{"orders"}, status: 200, phase: "ready", deaf: []string{"orders", "quiet"}},
		"nothing comes of one":                {systems: []string{"orders", "quiet"}, mute: []string{"quiet"}, status: 200, phase: "ready", deaf: []string{"quiet"}},
		"nothing comes of any":                {systems: []string{"orders", "quiet"}, mute: []string{"orders", "quiet"}, status: 503, phase: "deaf", deaf: []string{"orders", "quiet"}},
		"nothing comes, one waits":            {systems: []string{"orders", "quiet"}, moving: true, marked: []string{"quiet"}, mute: []string{"orders"}, status: 503, phase: "deaf", deaf: []string{"orders", "quiet"}},
		"one is not confirmed":                {systems: []string{"orders", "quiet"}, refused: []string{"quiet"}, status: 200, phase: "ready", deaf: []string{"quiet"}},
		"none is confirmed":                   {systems: []string{"orders", "quiet"}, refused: []string{"orders", "quiet"}, status: 503, phase: "starting", deaf: []string{"orders", "quiet"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old, next := memory.New(memory.Config{}), memory.New(memory.Config{})
				defer old.Close()
				defer next.Close()
				open := func(bus *memory.Bus) transport.Opener {
					return func(context.Context, *url.URL, *slog.Logger) (transport.Driver, error) {
						return picky{bus.Driver(), bus.Driver().(transport.LogDriver), tt.refused, tt.mute, &atomic.Bool{}}, nil
					}
				}
				cfg := fanfare.Config{Dev: true, Systems: tt.systems, Drain: 1, Transport: "old://bus"}
				if tt.moving {
					cfg.Transport += " new://bus"
				}
				publish := func(system string, m *message.Message) {
					if errs := old.Publish(t.Context(), []transport.Outgoing{{Topic: "fanfare." + system, Message: m}}); errs != nil {
						t.Fatal(errs)
					}
				}
				mark := func() {
					for _, system := range tt.marked {
						publish(system, provenance.NewMovedAway("mark"))
					}
				}
				if tt.late {
					mark()
				}
				n := startNode(t, cfg, fanfare.WithOpeners(transport.Openers{"old": open(old), "new": open(next)}))
				if slices.Equal(tt.systems, []string{"*"}) {
					defer n.listen("orders")()
				}
				time.Sleep(10 * time.Second)
				if !tt.late {
					mark()
				}
				for _, system := range tt.mute {
					publish(system, message.NewMessage("id", []byte(`{"to":"*","data":1}`)))
				}
				time.Sleep(10 * time.Second)
				status, phase, deaf := n.ready("")
				if status != tt.status || phase != tt.phase || !slices.Equal(deaf, tt.deaf) {
					t.Errorf("/readyz: %d %s, deaf %v; want %d %s, %v", status, phase, deaf, tt.status, tt.phase, tt.deaf)
				}
				if status, _, _ := n.ready("?system=*"); (status == 503) != (len(tt.deaf) > 0) {
					t.Errorf("/readyz?system=*: %d", status)
				}
				metrics := n.get("/metrics").Body.String()
				for _, system := range tt.systems {
					want := fmt.Sprintf("fanfare_deaf{system=%q} %d\n", system, len(slices.DeleteFunc(slices.Clone(tt.deaf), func(s string) bool { return s != system })))
					if system != "*" && !strings.Contains(metrics, want) {
						t.Errorf("/metrics lacks %s", want)
					}
				}
			})
		})
	}
}

// A bus that is down when the node starts does not keep it out of rotation.
func TestNodeThatStartsWithoutItsBusIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.New(memory.Config{})
		defer bus.Close()
		n := startNode(t, fanfare.Config{Dev: true, Systems: []string{"orders"}, Drain: 1}, fanfare.WithDriver(gone{bus.Driver()}))
		time.Sleep(10 * time.Second)
		if status, phase, deaf := n.ready(""); status != 200 || phase != "ready" || deaf != nil {
			t.Errorf("%d %s %v", status, phase, deaf)
		}
		if status, _, _ := n.ready("?bus=required"); status != 503 {
			t.Errorf("?bus=required: %d", status)
		}
	})
}

// gone is a bus that does not answer.
type gone struct{ transport.Driver }

func (gone) Ping(context.Context) error { return domain.ErrBusDown }

func (gone) Follow(context.Context, string, domain.Position) (transport.Feed, error) {
	return nil, domain.ErrBusDown
}

// A system that was deaf is not deaf any more when the bus confirms it.
func TestSystemThatIsConfirmedLateIsNotDeafAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.New(memory.Config{})
		defer bus.Close()
		refused := []string{"quiet"}
		d := picky{bus.Driver(), bus.Driver().(transport.LogDriver), refused, nil, &atomic.Bool{}}
		n := startNode(t, fanfare.Config{Dev: true, Systems: []string{"orders", "quiet"}, Drain: 1}, fanfare.WithDriver(d))
		time.Sleep(time.Second)
		if status, phase, deaf := n.ready(""); status != 503 || phase != "starting" || deaf != nil {
			t.Errorf("at once: %d %s %v", status, phase, deaf)
		}
		time.Sleep(10 * time.Second)
		if status, _, deaf := n.ready(""); status != 200 || !slices.Equal(deaf, refused) {
			t.Errorf("after a while: %d %v", status, deaf)
		}
		d.lenient.Store(true)
		time.Sleep(10 * time.Second)
		if status, _, deaf := n.ready("?system=*"); status != 200 || deaf != nil {
			t.Errorf("when it is confirmed: %d %v", status, deaf)
		}
	})
}

// picky is a bus that does not let anybody follow some systems.
type picky struct {
	transport.Driver
	transport.LogDriver
	refused []string
	mute    []string     // systems that nothing comes of
	lenient *atomic.Bool // once set, it lets everybody follow all systems
}

// silent is a feed that never returns an entry.
type silent struct{ transport.Feed }

func (silent) Read(ctx context.Context) ([]domain.Entry, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (p picky) hush(topic string, f transport.Feed, err error) (transport.Feed, error) {
	if err == nil && slices.Contains(p.mute, strings.TrimPrefix(topic, "fanfare.")) {
		return silent{f}, nil
	}
	return f, err
}

func (p picky) refuse(topic string) error {
	if !p.lenient.Load() && slices.Contains(p.refused, strings.TrimPrefix(topic, "fanfare.")) {
		return domain.ErrBusRefused
	}
	return nil
}

func (p picky) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if err := p.refuse(topic); err != nil {
		return nil, err
	}
	f, err := p.Driver.Follow(ctx, topic, after)
	return p.hush(topic, f, err)
}

func (p picky) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	if err := p.refuse(topic); err != nil {
		return nil, err
	}
	f, err := p.LogDriver.FollowSince(ctx, topic, t)
	return p.hush(topic, f, err)
}

// A runningNode is a node whose health is asked for.
type runningNode struct {
	t *testing.T
	g *fanfare.Node
}

func startNode(t *testing.T, cfg fanfare.Config, opts ...fanfare.Option) runningNode {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	g, err := fanfare.New(ctx, cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return runningNode{t, g}
}

func (n runningNode) get(path string) *httptest.ResponseRecorder {
	synctest.Wait()
	a, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil)
	r.RemoteAddr = "127.0.0.1:1" // development mode is for this machine only
	n.g.ServeHTTP(a, r)
	return a
}

// listen attaches a client to the system.
func (n runningNode) listen(system string) (stop func()) {
	ctx, stop := context.WithCancel(n.t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/sse?user=alice&systems="+system, nil)
	r.RemoteAddr = "127.0.0.1:1"
	go n.g.ServeHTTP(httptest.NewRecorder(), r)
	return stop
}

func (n runningNode) ready(query string) (status int, phase string, deaf []string) {
	n.t.Helper()
	a := n.get("/readyz" + query)
	var body struct {
		Status string
		Deaf   []string
	}
	if err := json.Unmarshal(a.Body.Bytes(), &body); err != nil || body.Deaf == nil {
		n.t.Errorf("/readyz%s: %s, %v", query, a.Body, err)
	}
	if len(body.Deaf) == 0 {
		body.Deaf = nil
	}
	return a.Code, body.Status, body.Deaf
}

// A node whose settings name the old bus alone is taken out of rotation when the
// bus has been moved.
func TestNodeThatIsLeftBehindIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.New(memory.Config{})
		defer bus.Close()
		ctx, stop := context.WithCancel(t.Context())
		g, err := fanfare.New(ctx, fanfare.Config{Dev: true, Systems: []string{"orders"}, Drain: 1}, fanfare.WithDriver(bus.Driver()))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		ready := func(status int, phase string) {
			t.Helper()
			synctest.Wait()
			a, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://127.0.0.1/readyz", nil)
			r.RemoteAddr = "127.0.0.1:1" // development mode is for this machine only
			if g.ServeHTTP(a, r); a.Code != status || !strings.Contains(a.Body.String(), phase) {
				t.Errorf("/readyz: %d %s, want %d %s", a.Code, a.Body, status, phase)
			}
		}
		ready(http.StatusOK, "ready")
		if errs := bus.Publish(ctx, []transport.Outgoing{{Topic: "fanfare.orders", Message: provenance.NewMovedAway("mark")}}); errs != nil {
			t.Fatal(errs)
		}
		ready(http.StatusServiceUnavailable, "deaf")
	})
}

// A proxy must not send a request into a connection that a node is closing.
func TestTheAnswersOfANodeThatDrainsAreTheLastOfTheirConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		g, err := fanfare.New(ctx, fanfare.Config{Dev: true, Systems: []string{"orders"}})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		n := runningNode{t, g}
		if got := n.get("/readyz"); got.Code != http.StatusOK || got.Header().Get("Connection") != "" {
			t.Errorf("before: %d, Connection %q", got.Code, got.Header().Get("Connection"))
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := n.get("/readyz"); got.Code != http.StatusServiceUnavailable || got.Header().Get("Connection") != "close" {
			t.Errorf("at the end: %d, Connection %q", got.Code, got.Header().Get("Connection"))
		}
	})
}
