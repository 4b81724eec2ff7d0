package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/redisstream"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/cloudevent"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/subscriber"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/freeport"
	"github.com/fanfarebus/fanfare/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	oldSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	newSecret = "whsec_HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// A kit is a bus with what nodes put on it, and endpoints.
type kit struct {
	t      *testing.T
	open   func() *transport.Transport
	bus    *transport.Transport
	topics domain.Topics
	system domain.System
}

func newKit(t *testing.T, open func() *transport.Transport) kit {
	k := kit{t: t, open: open, bus: open()}
	t.Cleanup(func() { _ = k.bus.Close() })
	var err error
	if k.topics, err = domain.ParseTopics("fanfare.{system}"); err != nil {
		t.Fatal(err)
	}
	if k.system, err = domain.ParseSystem("chat"); err != nil {
		t.Fatal(err)
	}
	return k
}

func memoryKit(t *testing.T) kit {
	bus := memory.New(memory.Config{})
	t.Cleanup(func() { _ = bus.Close() })
	return newKit(t, func() *transport.Transport { return transport.New(bus.Driver(), transport.Config{}) })
}

func (k kit) send(user string, n int, at time.Time) {
	k.t.Helper()
	m := &domain.Message{ID: fmt.Sprint(user, "-", n), From: user, Type: "said", Time: at}
	if err := m.SetData(domain.JSON, fmt.Append(nil, n)); err != nil {
		k.t.Fatal(err)
	}
	out := transport.NewEnvelopePublisher(k.bus, k.topics, 0)
	if err := out.Inbound(context.Background(), k.system, m, "s-"+user); err != nil {
		k.t.Fatal(err)
	}
}

func (k kit) sendAll(users, from, to int) {
	for n := from; n < to; n++ {
		for u := range users {
			k.send(fmt.Sprint("user", u), n, time.Now())
		}
	}
}

// work runs a worker until stop is called.
func (k kit) work(cfg webhook.Config, endpoints ...webhook.Endpoint) (w *webhook.Worker, stop func()) {
	k.t.Helper()
	bus := k.open()
	if cfg.RetryMin == 0 {
		cfg.RetryMin, cfg.RetryMax = time.Millisecond, 10*time.Millisecond
	}
	w, err := webhook.New([]subscriber.Bus{bus}, endpoints, cfg)
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := errors.Join(<-done, bus.Close()); err != nil {
				k.t.Errorf("the worker: %v", err)
			}
		})
	}
	k.t.Cleanup(stop)
	return w, stop
}

func endpoint(name, url string) webhook.Endpoint {
	return webhook.Endpoint{Name: name, URL: url, Secrets: []string{oldSecret}, Systems: []string{"chat"}, Inbound: true}
}

// A hook is an endpoint's server. It verifies signatures, and notes what comes.
type hook struct {
	*httptest.Server
	t      *testing.T
	secret string
	answer func(n int64, w http.ResponseWriter, r *http.Request) // writes the nth answer; nil: 200

	mu       sync.Mutex
	requests atomic.Int64
	ids      map[string]int   // by webhook-id, how often it was taken
	users    map[string][]int // in order, without repetitions
	bodies   []string
}

func newHook(t *testing.T, answer func(n int64, w http.ResponseWriter, r *http.Request)) *hook {
	h := &hook{t: t, secret: oldSecret, answer: answer, ids: map[string]int{}, users: map[string][]int{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the worker was stopped
	}
	key, err := standardwebhooks.NewWebhook(h.secret)
	if err != nil {
		h.t.Error(err)
	}
	if err := key.Verify(body, r.Header); err != nil {
		h.t.Errorf("the signature: %v of %v", err, r.Header)
	}
	n := h.requests.Add(1)
	answered := &recorder{ResponseWriter: w, status: http.StatusOK}
	if h.answer != nil {
		h.answer(n, answered, r)
	}
	if answered.status/100 != 2 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	id := r.Header.Get("webhook-id")
	if h.ids[id]++; h.ids[id] > 1 {
		return
	}
	h.bodies = append(h.bodies, string(body))
	var said struct {
		From string
		Data json.RawMessage
	}
	if err := json.Unmarshal(body, &said); err != nil {
		h.t.Errorf("%s: %v", body, err)
	}
	var number int
	if json.Unmarshal(said.Data, &number) == nil {
		h.users[said.From] = append(h.users[said.From], number)
	}
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (h *hook) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.bodies)
}

func (h *hook) ordered() {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for user, all := range h.users {
		for i, n := range all {
			if n != i {
				h.t.Errorf("%s: delivery %d came as number %d: %v", user, n, i, all)
				break
			}
		}
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("it did not happen in time: %s", what)
		}
	}
}

// value returns a metric of an endpoint.
func value(t *testing.T, w *webhook.Worker, name, endpoint string) float64 {
	t.Helper()
	for _, m := range w.Metrics() {
		if m.Name == name {
			return m.Values()[endpoint]
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// One endpoint is dead, one answers 500 to every second request, one is slow: the good one
// gets everything at once, and the others theirs, in order, in their own time.
func TestADeadEndpointDelaysNoOther(t *testing.T) {
	k := memoryKit(t)
	const users, each = 8, 10
	good := newHook(t, nil)
	flaky := newHook(t, func(n int64, w http.ResponseWriter, _ *http.Request) {
		if n%2 == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	release := make(chan struct{})
	slow := newHook(t, func(_ int64, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	w, _ := k.work(webhook.Config{}, endpoint("good", good.URL), endpoint("flaky", flaky.URL),
		endpoint("slow", slow.URL), endpoint("dead", "http://"+freeport.Address(t)))
	k.sendAll(users, 0, each)
	until(t, "the good and the flaky one", func() bool { return good.count() == users*each && flaky.count() == users*each })
	if good.requests.Load() != users*each {
		t.Errorf("the good one got %d requests", good.requests.Load())
	}
	close(release)
	until(t, "the slow one", func() bool { return slow.count() == users*each })
	for _, h := range []*hook{good, flaky, slow} {
		h.ordered()
	}
	until(t, "metrics", func() bool { return value(t, w, "webhook_delivered_total", "flaky") == users*each })
	if value(t, w, "webhook_failed_total", "flaky") < users || value(t, w, "webhook_failed_total", "dead") == 0 ||
		value(t, w, "webhook_delivered_total", "dead") != 0 {
		t.Error("failures are not counted")
	}
}

// The worker is stopped in the middle, and another one started: everything is delivered, in
// order, on a bus that is a real one.
func TestDeliveriesSurviveTheWorker(t *testing.T) {
	for name, k := range map[string]func(t *testing.T) kit{
		"memory": memoryKit,
		"redis-streams": func(t *testing.T) kit {
			url := "redis-streams://" + broker.Redis(t).Addr() + "/0"
			return newKit(t, func() *transport.Transport {
				bus, err := redisstream.Openers().Open(t.Context(), url, transport.Config{})
				if err != nil {
					t.Fatal(err)
				}
				return bus
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := k(t)
			const users, each = 6, 20
			var broken atomic.Bool
			h := newHook(t, func(n int64, w http.ResponseWriter, r *http.Request) {
				if broken.Load() {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			_, stop := k.work(webhook.Config{}, endpoint("crm", h.URL))
			k.sendAll(users, 0, each/2)
			until(t, "a part", func() bool { return h.count() > users })
			broken.Store(true)
			k.sendAll(users, each/2, each)
			taken := h.requests.Load()
			until(t, "failures", func() bool { return h.requests.Load() > taken+3 })
			stop()
			broken.Store(false)
			k.work(webhook.Config{}, endpoint("crm", h.URL))
			until(t, "the rest", func() bool { return h.count() == users*each })
			h.ordered()
		})
	}
}

func TestEventsArePostedAsCloudEventsAndBothSecretsSign(t *testing.T) {
	k := memoryKit(t)
	h := newHook(t, func(_ int64, _ http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Content-Type"); got != "application/cloudevents+json" {
			t.Errorf("the content type is %s", got)
		}
	})
	h.secret = newSecret // the endpoint has only the new one
	e := endpoint("crm", h.URL)
	e.Inbound, e.Events, e.Secrets = false, true, []string{oldSecret, newSecret}
	k.work(webhook.Config{}, e)
	c := cloudevent.FromControl(control.Event{
		ID: "e1", Type: control.Offline, Place: control.Place{System: k.system}, User: "alice", Time: time.Now().UnixMilli(),
	})
	text := cloudevent.Append(nil, &c)
	m := message.NewMessage("e1", text)
	m.Metadata = message.Metadata{transport.RawKey: "1"}
	if err := k.bus.Publish(k.topics.Events(k.system), m); err != nil {
		t.Fatal(err)
	}
	until(t, "the event", func() bool { return h.count() == 1 })
	if h.bodies[0] != string(text) {
		t.Errorf("got  %s\nwant %s", h.bodies[0], text)
	}
}

func TestWhatClientsSendIsPostedWithItsSystem(t *testing.T) {
	k := memoryKit(t)
	h := newHook(t, nil)
	k.work(webhook.Config{}, endpoint("crm", h.URL))
	at := time.Now().UTC().Truncate(time.Millisecond)
	k.send("alice", 7, at)
	until(t, "it", func() bool { return h.count() == 1 })
	want := `{"system":"chat","id":"alice-7","type":"said","from":"alice","session":"s-alice","time":"` +
		at.Format(time.RFC3339Nano) + `","data":7}`
	if h.bodies[0] != want {
		t.Errorf("got  %s\nwant %s", h.bodies[0], want)
	}
}

func TestAnEndpointThatIsGoneGetsNothingMore(t *testing.T) {
	k := memoryKit(t)
	gone := newHook(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	good := newHook(t, nil)
	lines := &lines{}
	w, _ := k.work(webhook.Config{Concurrency: 1, Logger: slog.New(slog.NewTextHandler(lines, nil))},
		endpoint("gone", gone.URL), endpoint("good", good.URL))
	k.sendAll(3, 0, 3)
	until(t, "the good one", func() bool { return good.count() == 9 && value(t, w, "webhook_gone", "gone") == 1 })
	if gone.requests.Load() != 1 {
		t.Errorf("the endpoint got %d requests", gone.requests.Load())
	}
	// What it had is given back: the next worker delivers it.
	again := newHook(t, nil)
	k.work(webhook.Config{}, endpoint("gone", again.URL))
	until(t, "what was given back", func() bool { return again.count() == 9 })
	again.ordered()
	if n := strings.Count(lines.String(), "410 Gone"); n != 1 {
		t.Errorf("%d lines say so: %s", n, lines)
	}
	if strings.Contains(lines.String(), "whsec_") || strings.Contains(lines.String(), gone.URL) {
		t.Errorf("the log shows a secret or a URL: %s", lines)
	}
}

func TestWhatIsTooOldIsDroppedAndCounted(t *testing.T) {
	k := memoryKit(t)
	h := newHook(t, nil)
	lines := &lines{}
	k.send("alice", 0, time.Now().Add(-2*time.Hour))
	k.send("alice", 0, time.Now())
	e := endpoint("crm", h.URL)
	e.MaxAge = time.Hour
	w, _ := k.work(webhook.Config{Logger: slog.New(slog.NewTextHandler(lines, nil))}, e)
	until(t, "both", func() bool { return h.count() == 1 && value(t, w, "webhook_dropped_total", "crm") == 1 })
	if !strings.Contains(lines.String(), "too old and was dropped") {
		t.Errorf("the log: %s", lines)
	}
}

// Redirects count as failures, answers without end are cut off, and what an endpoint says
// with Retry-After is waited for.
func TestAnEndpointCannotLeadTheWorkerAstray(t *testing.T) {
	k := memoryKit(t)
	var reached atomic.Bool
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer inside.Close()
	var asked, came time.Time
	h := newHook(t, func(n int64, w http.ResponseWriter, r *http.Request) {
		switch n {
		case 1:
			http.Redirect(w, r, inside.URL, http.StatusTemporaryRedirect)
		case 2:
			asked = time.Now()
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			chunk := strings.Repeat("x", 1<<20)
			for range 64 { // more than is read
				if _, err := io.WriteString(w, chunk); err != nil {
					return
				}
			}
		case 3:
			came = time.Now()
		}
	})
	k.work(webhook.Config{}, endpoint("crm", h.URL))
	k.send("alice", 0, time.Now())
	until(t, "the delivery", func() bool { return h.count() == 1 })
	if reached.Load() {
		t.Error("a redirect was followed")
	}
	if waited := came.Sub(asked); waited < time.Second {
		t.Errorf("the worker came back after %v", waited)
	}
}

// While an endpoint is dead, the worker holds a bounded number of deliveries.
func TestADeadEndpointTakesBoundedMemory(t *testing.T) {
	k := memoryKit(t)
	var mu sync.Mutex
	seen := map[string]bool{}
	h := newHook(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("webhook-id")] = true
		w.WriteHeader(http.StatusBadGateway)
	})
	k.sendAll(100, 0, 3)
	k.work(webhook.Config{InFlight: 20}, endpoint("crm", h.URL))
	until(t, "many attempts", func() bool { return h.requests.Load() > 200 })
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 20 {
		t.Errorf("the worker holds %d deliveries", len(seen))
	}
}

// Only the worker whose turn it is delivers; when the turn passes on, the other goes on.
func TestWorkersTakeTurns(t *testing.T) {
	k := memoryKit(t)
	h := newHook(t, nil)
	var turn atomic.Int64
	for i := range int64(2) {
		k.work(webhook.Config{Turn: func() bool { return turn.Load() == i }}, endpoint("crm", h.URL))
	}
	k.sendAll(5, 0, 4)
	until(t, "the first half", func() bool { return h.count() == 20 })
	turn.Store(1)
	k.sendAll(5, 4, 8)
	until(t, "the second half", func() bool { return h.count() == 40 })
	h.ordered()
}

func TestEndpointsAreChecked(t *testing.T) {
	good := endpoint("crm", "https://u:hunter2@crm.example.com/hook")
	if err := webhook.Check([]webhook.Endpoint{good}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(e *webhook.Endpoint){
		"name":    func(e *webhook.Endpoint) { e.Name = "C R M" },
		"url":     func(e *webhook.Endpoint) { e.URL = "ftp://u:hunter2@h/" },
		"no host": func(e *webhook.Endpoint) { e.URL = "http:///hunter2" },
		"bad url": func(e *webhook.Endpoint) { e.URL = "http://hunter2 :x/%zz" },
		"secret":  func(e *webhook.Endpoint) { e.Secrets = []string{"whsec_hunter2"} },
		"raw":     func(e *webhook.Endpoint) { e.Secrets = []string{strings.TrimPrefix(oldSecret, "whsec_")} },
		"none":    func(e *webhook.Endpoint) { e.Secrets = nil },
		"systems": func(e *webhook.Endpoint) { e.Systems = nil },
		"system":  func(e *webhook.Endpoint) { e.Systems = []string{"*"} },
		"nothing": func(e *webhook.Endpoint) { e.Inbound = false },
		"timeout": func(e *webhook.Endpoint) { e.Timeout = time.Hour },
		"age":     func(e *webhook.Endpoint) { e.MaxAge = -1 },
	} {
		e := good
		change(&e)
		err := webhook.Check([]webhook.Endpoint{e})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := webhook.Check([]webhook.Endpoint{good, good}); err == nil {
		t.Error("two endpoints have one name")
	}
}

type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
