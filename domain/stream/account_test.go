package stream_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// heap is what is live on it.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// An accounted stream counts what it takes of two budgets.
type accounted struct {
	*fixture
	now          time.Time
	window, past *stream.Budget
	at           int
}

func newAccounted(t *testing.T, cfg stream.Config) *accounted {
	a := &accounted{now: time.Now(), window: stream.NewBudget(1 << 40), past: stream.NewBudget(1 << 40)}
	cfg.Budget, cfg.Backlog, cfg.HasLog, cfg.Now = a.window, a.past, true, func() time.Time { return a.now }
	a.fixture = begun(t, cfg)
	return a
}

// put delivers a message as the bus would bring it: read from its envelope.
func (a *accounted) put(fields map[string]any, also ...domain.Location) {
	a.at++
	if fields["id"] == nil {
		fields["id"] = fmt.Sprintf("id-%08d", a.at)
	}
	body, err := json.Marshal(fields)
	if err != nil {
		a.t.Fatal(err)
	}
	m, err := envelope.Decode(&domain.Entry{Body: body}, envelope.Rules{})
	if err != nil {
		a.t.Fatal(err)
	}
	a.record(pos(a.at), a.now, m, also...)
}

func rooms(n, from int) (to []string) {
	for i := range n {
		to = append(to, fmt.Sprint("room:r", from+i))
	}
	return to
}

// The account of what a stream keeps is what it takes of the heap, in whatever
// shape it comes.
func TestAccountIsWhatTheHeapSays(t *testing.T) {
	big := strings.Repeat("x", 20_000)
	shapes := map[string]struct {
		n   int
		cfg stream.Config
		put func(a *accounted, i int)
	}{
		"tiny messages, few targets": {15_000, stream.Config{}, func(a *accounted, i int) {
			a.put(map[string]any{"to": fmt.Sprint("user:u", i%100), "data": 1})
		}},
		"a target each": {15_000, stream.Config{}, func(a *accounted, i int) {
			a.put(map[string]any{"to": fmt.Sprint("user:somebody-", i), "data": 1})
		}},
		"many new rooms each": {200, stream.Config{}, func(a *accounted, i int) {
			a.put(map[string]any{"to": rooms(1000, 1000*i), "data": 1})
		}},
		"the same many rooms each": {200, stream.Config{}, func(a *accounted, i int) {
			a.put(map[string]any{"to": rooms(1000, 0), "data": 1})
		}},
		"large data": {1500, stream.Config{}, func(a *accounted, i int) {
			a.put(map[string]any{"to": "user:alice", "data": big})
		}},
		"many headers": {1000, stream.Config{}, func(a *accounted, i int) {
			headers := make(map[string]string)
			for k := range 64 {
				headers[fmt.Sprint("header-", k)] = fmt.Sprint("value ", i, k)
			}
			a.put(map[string]any{"to": "user:alice", "data": 1, "headers": headers})
		}},
		"a few headers": {10_000, stream.Config{}, func(a *accounted, i int) {
			a.put(map[string]any{"to": "user:alice", "data": 1, "type": fmt.Sprint("type ", i), "headers": map[string]string{"a": fmt.Sprint("b", i), "c": "d"}})
		}},
		"nothing but ids": {50_000, stream.Config{Messages: 2}, func(a *accounted, i int) {
			a.put(map[string]any{"to": "user:alice", "data": 1})
		}},
		"gaps": {15_000, stream.Config{}, func(a *accounted, i int) {
			a.at++
			a.gap(domain.Lossy, logA, pos(a.at), a.now)
		}},
		"copies": {15_000, stream.Config{}, func(a *accounted, i int) {
			a.put(map[string]any{"to": "user:alice", "data": 1},
				domain.Location{Log: 0xB, Position: pos(i)}, domain.Location{Log: 0xC, Position: pos(i)}, domain.Location{Log: 0xD, Position: pos(i)})
		}},
		"copies in turns": {15_000, stream.Config{}, func(a *accounted, i int) {
			a.put(map[string]any{"to": "user:alice", "data": 1}, domain.Location{Log: domain.LogID(0xB + i%2), Position: pos(i)})
		}},
		"rooms that never come again": {50_000, stream.Config{Messages: 1000}, func(a *accounted, i int) {
			a.put(map[string]any{"to": fmt.Sprint("room:once-", i), "data": 1})
		}},
		"much, and then little": {30_000, stream.Config{}, func(a *accounted, i int) {
			a.put(map[string]any{"to": fmt.Sprint("room:once-", i), "data": 1})
			if i == 29_000 {
				a.now = a.now.Add(time.Hour)
			}
		}},
		"fingerprints": {15_000, stream.Config{}, func(a *accounted, i int) {
			if a.at == 0 {
				a.now = a.now.Add(time.Hour)
			}
			a.at++
			a.recordWith(domain.Fingerprint(i+1), a.now, message(fmt.Sprintf("id-%08d", i), "x", "user:alice"))
		}},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			before := heap()
			a := newAccounted(t, shape.cfg)
			for i := range shape.n {
				shape.put(a, i)
			}
			took := heap() - before
			account := a.window.Used() + a.past.Used()
			if ratio := float64(account) / float64(took); ratio < 0.9 || ratio > 1.1 {
				t.Errorf("the account is %d KiB, the heap has grown by %d KiB: %.2f of it", account>>10, took>>10, ratio)
			}
			if account != a.Stats().Bytes {
				t.Errorf("the budget has %d bytes, the stream says %d", account, a.Stats().Bytes)
			}
			runtime.KeepAlive(a)
		})
	}
}

// A window of 100,000 messages of 128 bytes for 10,000 users, as the HTTP API
// would bring them, takes 26 MB, and says so.
func TestWindowOfAHundredThousandMessages(t *testing.T) {
	const messages, users, most = 100_000, 10_000, 26_000_000
	before := heap()
	a := newAccounted(t, stream.Config{Messages: messages})
	data := []byte(`{"text":"` + strings.Repeat("x", 128-len(`{"text":""}`)) + `"}`)
	for i := range messages {
		m := &domain.Message{ID: domain.NewID(), To: []domain.Target{target(fmt.Sprint("user:u", i%users))}, Type: "chat"}
		if err := m.SetData(domain.JSON, data); err != nil {
			t.Fatal(err)
		}
		a.now = a.now.Add(time.Millisecond)
		a.record(pos(i+1), a.now, m)
	}
	took, account := heap()-before, a.window.Used()
	if n := a.Stats().Entries; n != messages {
		t.Fatalf("%d entries are left", n)
	}
	if took > most || account > most || account < took*9/10 || account > took*11/10 {
		t.Errorf("the account is %d bytes, the heap has grown by %d, want at most %d", account, took, most)
	}
	t.Logf("%d bytes by the account, %d of the heap", account, took)
	runtime.KeepAlive(a)
}
