package natscore_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
)

// notice is how long it may take until a connection that swallows everything is
// noticed.
const notice = 6 * time.Second

// A line is a node behind a proxy, and a publisher that goes around it.
type line struct {
	t      *testing.T
	server *broker.NATSServer
	proxy  *broker.Proxy
	node   *transport.Transport
	pub    *transport.Transport

	mu    sync.Mutex
	heard []string
	up    []bool // what Run told
}

func newLine(t *testing.T) *line {
	s := broker.NATS(t)
	l := &line{t: t, server: s, proxy: broker.NewProxy(t, s.Addr())}
	l.node = transport.New(open(t, "nats://"+l.proxy.Addr()), transport.Config{})
	l.pub = transport.New(open(t, s.URL("nats")), transport.Config{})
	t.Cleanup(func() { _, _ = l.node.Close(), l.pub.Close() })
	in, err := l.node.Batches().Subscribe(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for m := range in {
			l.hear(m)
			m.Ack()
		}
	}()
	go func() {
		_ = l.node.Run(t.Context(), func(up bool) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.up = append(l.up, up)
		})
	}()
	poll(t, func() bool { return l.told() != "[]" })
	return l
}

// told is what Run has told so far.
func (l *line) told() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprint(l.up)
}

func (l *line) hear(m *message.Message) {
	batch, _ := domain.EntriesFrom(m.Context())
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range batch {
		switch e.Kind {
		case domain.Break:
			l.heard = append(l.heard, "gap:"+string(e.Reason))
		case domain.Record:
			l.heard = append(l.heard, string(e.Body))
		}
	}
}

func (l *line) publish(body string) {
	l.t.Helper()
	m := message.NewMessage("", []byte(body))
	m.Metadata.Set(transport.RawKey, "1")
	if err := l.pub.Publish("t", m); err != nil {
		l.t.Fatal(err)
	}
}

// hears waits until exactly this was heard.
func (l *line) hears(want string) {
	l.t.Helper()
	heard := func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		return strings.Join(l.heard, " ")
	}
	poll(l.t, func() bool { return len(heard()) >= len(want) })
	if got := heard(); got != want {
		l.t.Fatalf("heard %q, want %q", got, want)
	}
}

// soon waits until it is so, and wants that within notice.
func (l *line) soon(what string, is func() bool) {
	l.t.Helper()
	start := time.Now()
	poll(l.t, is)
	if took := time.Since(start); took > notice {
		l.t.Errorf("%s after %v", what, took)
	}
}

func (l *line) interrupted() bool { return l.node.Stats().Interruptions > 0 }

// Nothing passes any more, and no connection is closed.
func TestABusThatSwallowsEverythingIsDownAndNotDeaf(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.publish("1")
	l.hears("1")
	l.proxy.Swallow()
	l.publish("2")
	l.soon("down and interrupted", func() bool {
		if l.node.Deaf() {
			t.Error("deaf, though the broker does not answer")
		}
		return !l.node.Up() && l.interrupted()
	})
	l.proxy.Pass()
	l.soon("up", l.node.Up)
	l.healed()
	if got := l.told(); got != "[true false true]" {
		t.Errorf("Run told %s", got)
	}
}

// The broker answers, but no subscription gets through.
func TestANodeWhoseSubscriptionsAreSwallowedIsDeafAndNotDown(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.publish("1")
	l.hears("1")
	l.proxy.SwallowWho("SUB t ")
	l.publish("2")
	l.soon("deaf", l.node.Deaf)
	if !l.node.Up() || l.node.Stats().Behind != 1 {
		t.Errorf("up %v, %d behind", l.node.Up(), l.node.Stats().Behind)
	}
	l.proxy.Pass()
	l.soon("heard again", func() bool { return !l.node.Deaf() })
	l.healed()
	if !l.interrupted() {
		t.Error("no interruption was counted")
	}
}

// healed: what was lost is a gap, what follows arrives.
func (l *line) healed() {
	l.t.Helper()
	l.hears("1 gap:lossy")
	l.publish("3")
	l.hears("1 gap:lossy 3")
}
