package jetstream_test

import (
	"errors"
	"fmt"
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
	*listener
	proxy *broker.Proxy
	node  *transport.Transport
	pub   *transport.Transport

	mu sync.Mutex
	up []bool // what Run told; guarded by mu
}

func newLine(t *testing.T) *line {
	s := broker.NATS(t)
	l := &line{proxy: broker.NewProxy(t, s.Addr())}
	l.node = transport.New(open(t, "jetstream://"+l.proxy.Addr()), transport.Config{})
	l.pub = transport.New(open(t, s.URL("jetstream")), transport.Config{})
	t.Cleanup(func() { _, _ = l.node.Close(), l.pub.Close() })
	l.listener = listen(t, l.node)
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

func (l *line) publish(body string) {
	l.t.Helper()
	if err := l.pub.Publish("t", raw(body)); err != nil {
		l.t.Fatal(err)
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
		return !l.node.Up() && l.node.Stats().Interruptions > 0
	})
	l.proxy.Pass()
	l.soon("up", l.node.Up)
	l.publish("3")
	l.hears("1 2 3")
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
	l.proxy.SwallowWho("CONSUMER.CREATE")
	l.publish("2")
	l.soon("deaf", l.node.Deaf)
	if !l.node.Up() || l.node.Stats().Behind != 1 {
		t.Errorf("up %v, %d behind", l.node.Up(), l.node.Stats().Behind)
	}
	l.proxy.Pass()
	l.soon("heard again", func() bool { return !l.node.Deaf() })
	l.publish("3")
	l.hears("1 2 3")
}

// A cut connection loses nothing and repeats nothing.
func TestACutConnectionIsNoGap(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	want := ""
	for i := 1; i <= 30; i++ {
		l.publish(fmt.Sprint(i))
		want += fmt.Sprintf(" %d", i)
		if i%10 == 0 {
			l.proxy.Cut()
			l.proxy.Mend()
		}
	}
	l.hears(want[1:])
	if l.node.Stats().Interruptions == 0 {
		t.Error("nothing was interrupted")
	}
}

// History and what is published meanwhile come as one, without a seam.
func TestHistoryAndLiveMessagesComeWithoutGapOrDuplicate(t *testing.T) {
	k := newKit(t)
	bus := transport.New(k.d, transport.Config{})
	t.Cleanup(func() { _ = bus.Close() })
	const n = 3000
	k.add(1, n/2)
	done := make(chan error, 1)
	go func() {
		for i := n/2 + 1; i <= n; i++ {
			if err := bus.Publish("t", raw(fmt.Sprint(i))); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	in, err := bus.BatchesSince(time.Hour).Subscribe(t.Context(), "t")
	k.must(err)
	next := 1
	for m := range in {
		batch, _ := domain.EntriesFrom(m.Context())
		for _, e := range batch {
			if e.Kind == domain.Start && seqOf(e.Until) < n/2 {
				t.Errorf("history ends at %d", seqOf(e.Until))
			}
			if e.Kind == domain.Break || e.Kind == domain.Record && string(e.Body) != fmt.Sprint(next) {
				t.Fatalf("%v %q instead of %d", e.Kind, e.Body, next)
			}
			if e.Kind == domain.Record {
				next++
			}
		}
		m.Ack()
		if next > n {
			break
		}
	}
	k.must(<-done)
}

// Many publish at once while the bus is closed: each is told the truth.
func TestClosingWhilePublishing(t *testing.T) {
	k := newKit(t)
	bus := transport.New(open(t, k.URL("jetstream")), transport.Config{})
	k.must(bus.Publish("t", raw("0")))
	var accepted, ended sync.WaitGroup
	var mu sync.Mutex
	taken := 1
	accepted.Add(8)
	for range 8 {
		ended.Go(func() {
			first := true
			for {
				err := bus.Publish("t", message.NewMessage("1", nil))
				if err == nil {
					mu.Lock()
					taken++
					mu.Unlock()
				}
				if first {
					accepted.Done()
					first = false
				}
				if errors.Is(err, domain.ErrClosed) {
					return
				}
			}
		})
	}
	accepted.Wait()
	k.must(bus.Close())
	ended.Wait()
	if got := int(k.stream().CachedInfo().State.Msgs); got < taken {
		t.Errorf("%d were accepted, the stream holds %d", taken, got)
	}
}
