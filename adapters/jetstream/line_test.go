package jetstream_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// A listener is a node's subscription.
type listener struct {
	t *testing.T

	mu    sync.Mutex
	heard []string // guarded by mu
}

func listen(t *testing.T, bus *transport.Transport) *listener {
	t.Helper()
	in, err := bus.Batches().Subscribe(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{t: t}
	go func() {
		for m := range in {
			batch, _ := domain.EntriesFrom(m.Context())
			l.hear(batch)
			m.Ack()
		}
	}()
	return l
}

func (l *listener) hear(batch []domain.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range batch {
		switch e.Kind {
		case domain.Gap:
			l.heard = append(l.heard, "gap:"+string(e.Reason))
		case domain.Record:
			l.heard = append(l.heard, string(e.Body))
		}
	}
}

func (l *listener) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.heard, " ")
}

// hears waits until exactly this was heard.
func (l *listener) hears(want string) {
	l.t.Helper()
	driverkit.Poll(l.t, func() bool { return len(l.all()) >= len(want) })
	if got := l.all(); got != want {
		l.t.Fatalf("heard %q, want %q", got, want)
	}
}
