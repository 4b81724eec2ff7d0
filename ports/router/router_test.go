package router_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/internal/metric"
	"github.com/fanfarebus/fanfare/ports/router"
)

func TestBatchesArriveInOrderAndPoisonIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		r := start(t, bus, router.Config{})
		orders := open(t, r, "orders")
		synctest.Wait()
		bus.confirm("orders")
		synctest.Wait()
		<-orders.Ready()
		alice := listen(orders, "user:alice")

		bus.send("orders", record(1, `{"to":"user:alice","data":1}`), record(2, `{"to":`), record(3, "\xff\x00"),
			record(4, `{"to":"user:alice","data":2}`), record(5, `{"to":"user:bob","data":3}`))
		bus.send("orders", domain.Entry{Kind: domain.Gap, Reason: domain.Trimmed, Log: 1, Position: "6"}, record(7, `{"to":"*","data":4}`))
		synctest.Wait()

		alice.want(t, "1", "2", "gap trimmed", "4")
		if st := r.Stats(); st.Entries != 6 || st.Poison != 2 || st.Panics != 0 || st.Feeds != 1 {
			t.Errorf("stats: %+v", st)
		}
	})
}

// What is published on the other bus will not come: that is no silent loss.
func TestBusThatIsMovedWithoutTheNodeIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		r := start(t, bus, router.Config{})
		s := open(t, r, "orders")
		synctest.Wait()
		bus.confirm("orders")
		synctest.Wait()
		alice := listen(s, "user:alice")
		bus.send("orders", record(1, `{"to":"user:alice","data":1}`))
		if s.Left() {
			t.Error("left before it was told")
		}
		bus.send("orders", domain.Entry{Kind: domain.MovedAway, Position: "00000002"}, record(3, `{"to":"user:alice","data":3}`))
		synctest.Wait()
		alice.want(t, "1", "gap lossy", "3")
		if !s.Left() {
			t.Error("it does not say so")
		}
	})
}

func TestPanicTakesOneMessageOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		r := start(t, bus, router.Config{})
		orders := open(t, r, "orders")
		synctest.Wait()
		bus.confirm("orders")
		synctest.Wait()
		alice := listen(orders, "user:alice")
		alice.panicAt = "2"
		for i := range 3 {
			bus.send("orders", record(i+1, fmt.Sprintf(`{"to":"user:alice","data":%d}`, i+1)))
		}
		synctest.Wait()
		alice.want(t, "1", "3")
		if st := r.Stats(); st.Panics != 1 {
			t.Errorf("%d panics counted, want 1", st.Panics)
		}
	})
}

// A broker that does not confirm must freeze neither Open nor Close, for its
// own system or for others.
func TestSubscribeThatWaitsBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		r := start(t, bus, router.Config{})
		stuck := open(t, r, "stuck")
		orders := open(t, r, "orders")
		synctest.Wait()
		bus.confirm("orders")
		synctest.Wait()
		select {
		case <-orders.Ready():
		default:
			t.Error("orders is not ready because stuck is not")
		}
		select {
		case <-stuck.Ready():
			t.Error("stuck is ready though nothing confirmed it")
		default:
		}
		r.Close(stuck)
		r.Close(orders)
		if st := r.Stats(); st.Feeds != 0 {
			t.Errorf("%d feeds are left", st.Feeds)
		}
	})
}

func TestRouterOutlivesItsLastFeedAndReopensASystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		r := start(t, bus, router.Config{})
		for range 5 {
			s := open(t, r, "orders")
			synctest.Wait()
			bus.confirm("orders")
			synctest.Wait()
			alice := listen(s, "user:alice")
			bus.send("orders", record(1, `{"to":"user:alice","data":1}`))
			synctest.Wait()
			alice.want(t, "1")
			r.Close(s)
			synctest.Wait()
		}
	})
}

func TestFailedSubscriptionIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		bus.fail = 5
		r := start(t, bus, router.Config{})
		s := open(t, r, "orders")
		time.Sleep(time.Minute)
		bus.confirm("orders")
		synctest.Wait()
		select {
		case <-s.Ready():
		default:
			t.Error("not ready after the bus came back")
		}
	})
}

func TestBusThatNeverConfirmsDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		bus.fail = 1_000_000
		var lines bytes.Buffer
		r := start(t, bus, router.Config{Logger: slog.New(slog.NewTextHandler(&lines, nil))})
		s := open(t, r, "orders")
		time.Sleep(10 * time.Minute)
		r.Close(s)
		synctest.Wait()
		if n := strings.Count(lines.String(), "does not confirm"); n < 9 || n > 11 {
			t.Errorf("%d lines in ten minutes, want one a minute", n)
		}
	})
}

// start runs a Router until the test ends, and checks that it ends well.
func start(t *testing.T, bus *fakeBus, cfg router.Config) *router.Router {
	topics, err := domain.ParseTopics("{system}")
	if err != nil {
		t.Fatal(err)
	}
	r, err := router.New(bus, topics, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
	return r
}

func open(t *testing.T, r *router.Router, name string) *stream.Stream {
	system, err := domain.ParseSystem(name)
	if err != nil {
		t.Fatal(err)
	}
	s := stream.New(system, stream.Config{HasLog: true})
	if err := r.Open(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func record(at int, body string) domain.Entry {
	return domain.Entry{Position: domain.Position(fmt.Sprintf("%08d", at)), Body: []byte(body)}
}

// A fakeBus confirms and delivers when it is told to.
type fakeBus struct {
	mu     sync.Mutex
	fail   int
	tail   domain.Position // where each log ended when the subscription began
	topics map[string]chan *message.Message
	ready  map[string]chan struct{}
}

func newBus() *fakeBus {
	return &fakeBus{topics: make(map[string]chan *message.Message), ready: make(map[string]chan struct{})}
}

func (b *fakeBus) at(name string) (chan *message.Message, chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics[name] == nil {
		b.topics[name], b.ready[name] = make(chan *message.Message), make(chan struct{}, 1)
	}
	return b.topics[name], b.ready[name]
}

func (b *fakeBus) topic(name string) chan *message.Message { ch, _ := b.at(name); return ch }
func (b *fakeBus) confirm(name string)                     { _, ready := b.at(name); ready <- struct{}{} }

func (b *fakeBus) send(name string, batch ...domain.Entry) {
	m := message.NewMessageWithContext(domain.WithEntries(context.Background(), batch), "", nil)
	b.topic(name) <- m
	<-m.Acked()
}

func (b *fakeBus) Subscribe(ctx context.Context, name string) (<-chan *message.Message, error) {
	b.mu.Lock()
	failing := b.fail > 0
	b.fail--
	b.mu.Unlock()
	if failing {
		return nil, errors.New("no bus")
	}
	in, ready := b.at(name)
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		// A batch subscriber says first where it starts.
		start := []domain.Entry{{Kind: domain.Start, Log: 1, Position: "0", Tail: b.tail}}
		first := message.NewMessageWithContext(domain.WithEntries(ctx, start), "", nil)
		select {
		case out <- first:
		case <-ctx.Done():
			return
		}
		for {
			select {
			case m, ok := <-in:
				if !ok {
					return
				}
				select {
				case out <- m:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (b *fakeBus) Close() error { return nil }

// A listener is a session that writes down what it gets.
type listener struct {
	mu      sync.Mutex // for count, while the session is served
	got     []string
	panicAt string
}

func listen(s *stream.Stream, to string) *listener {
	l := &listener{}
	target, err := domain.ParseTarget(to)
	if err != nil {
		panic(err)
	}
	a, _, _ := s.Attach(stream.Asker{}, l, l, domain.Cursor{}, target)
	a.Fill()
	return l
}

func (l *listener) Offer(f stream.Frame) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, string(f.Bytes))
	return true
}

func (l *listener) Message(_ domain.System, m *domain.Message, _ domain.Target, _ domain.Cursor) stream.Frame {
	if string(m.Data) == l.panicAt {
		panic("as the test wants")
	}
	return stream.Frame{Bytes: m.Data}
}

func (l *listener) Gap(_ domain.System, reason domain.GapReason, _ domain.Cursor) stream.Frame {
	return stream.Frame{Bytes: []byte("gap " + reason)}
}

func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.got)
}

func (l *listener) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(l.got, want) {
		t.Errorf("got %q, want %q", l.got, want)
	}
}

func TestSessionsResumeFromTheLogThroughTheRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		past := &fakeLog{fail: 2}
		for i := range 50 {
			past.entries = append(past.entries, record(i+1, fmt.Sprintf(`{"to":"user:alice","id":"%d","data":%d}`, i+1, i+1)))
		}
		r := start(t, bus, router.Config{Replayer: past})
		s := stream.New(system(t, "orders"), stream.Config{HasLog: true, Messages: 5, Backlog: stream.NewBudget(1 << 20)})
		if err := r.Open(s); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		bus.confirm("orders")
		synctest.Wait()
		bus.send("orders", past.entries...)
		synctest.Wait()

		var want []string
		for i := 11; i <= 50; i++ {
			want = append(want, fmt.Sprint(i))
		}
		alice, older := resume(s, 10), resume(s, 3)
		time.Sleep(time.Minute) // the log fails twice first
		synctest.Wait()
		alice.want(t, want...)
		if len(older.got) != 47 {
			t.Errorf("the older session got %d messages, want 47", len(older.got))
		}
		past.broken = &domain.GapError{Reason: domain.Trimmed}
		time.Sleep(time.Minute)
		synctest.Wait()
		s.Sweep() // what was read again is let go
		trimmed := resume(s, 10)
		time.Sleep(time.Minute)
		synctest.Wait()
		trimmed.want(t, "gap trimmed", "46", "47", "48", "49", "50")
		past.broken = fmt.Errorf("no such place: %w", domain.ErrInvalid)
		forged := resume(s, 11)
		time.Sleep(time.Minute)
		synctest.Wait()
		forged.want(t, "gap unknown_cursor") // and nobody waits behind it
	})
}

// A log that was made anew has the same positions, and nothing of what was
// there. The stream may not have heard of it yet.
func TestNobodyResumesFromALogThatWasMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		past := &fakeLog{log: 2}
		for i := range 50 {
			past.entries = append(past.entries, record(i+1, fmt.Sprintf(`{"to":"user:alice","id":"%d","data":%d}`, i+1, i+1)))
		}
		r := start(t, bus, router.Config{Replayer: past})
		s := stream.New(system(t, "orders"), stream.Config{HasLog: true, Messages: 5, Backlog: stream.NewBudget(1 << 20)})
		if err := r.Open(s); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		bus.confirm("orders") // log 1
		synctest.Wait()
		bus.send("orders", past.entries...)
		synctest.Wait()
		alice := resume(s, 10)
		time.Sleep(time.Minute)
		synctest.Wait()
		alice.want(t, "gap unknown_cursor")
	})
}

func resume(s *stream.Stream, at int) *listener {
	return resumeAt(s, domain.Cursor{Log: 1, Position: record(at, "").Position, Time: time.Now()})
}

func resumeAt(s *stream.Stream, since domain.Cursor) *listener {
	l := &listener{}
	alice, err := domain.UserTarget("alice")
	if err != nil {
		panic(err)
	}
	a, _, _ := s.Attach(stream.Asker{}, l, l, since, alice)
	a.Fill()
	return l
}

func system(t *testing.T, name string) domain.System {
	s, err := domain.ParseSystem(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A fakeLog has all entries, but fails a few times first.
type fakeLog struct {
	locate  func(wanted []domain.Location)
	replay  func(topic string)
	origins []domain.LogID
	survey  error // what Origins fails with
	entries []domain.Entry
	fail    int
	broken  error
	pace    time.Duration // between two entries
	log     domain.LogID  // 0: 1
}

func (l *fakeLog) Replay(ctx context.Context, topic string, after domain.Location, _ time.Time, yield func([]domain.Entry) bool) error {
	if l.replay != nil {
		l.replay(topic)
	}
	if l.fail > 0 {
		l.fail--
		return domain.ErrBusDown
	}
	if l.broken != nil {
		return l.broken
	}
	if after.Log != max(l.log, 1) {
		return &domain.GapError{Reason: domain.UnknownCursor, Detail: "another log"}
	}
	for _, e := range l.entries {
		if e.Position <= after.Position {
			continue
		}
		select {
		case <-time.After(l.pace):
		case <-ctx.Done():
			return ctx.Err()
		}
		if !yield([]domain.Entry{e}) {
			return nil
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (l *fakeLog) Locate(_ context.Context, _ string, wanted []domain.Location, _ time.Time, _ int) ([]domain.Location, int, error) {
	if l.locate == nil {
		return nil, 0, domain.ErrUnsupported
	}
	l.locate(wanted)
	return make([]domain.Location, len(wanted)), 50, nil
}

func (l *fakeLog) Origins(context.Context, string, int) ([]domain.LogID, int, error) {
	if l.survey != nil {
		return nil, 0, l.survey
	}
	return l.origins, len(l.entries), nil
}

// What comes from the bus is late by what the bus says, once the node has come to its
// tail; what was there before is not late.
func TestHowLateRecordsAreReadIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		r := start(t, bus, router.Config{})
		orders := open(t, r, "orders")
		synctest.Wait()
		bus.confirm("orders")
		synctest.Wait()
		<-orders.Ready()
		late := func(at int, by time.Duration) domain.Entry {
			e := record(at, `{"to":"user:alice","data":1}`)
			e.Read = time.Now()
			e.Time = e.Read.Add(-by)
			return e
		}
		timeless := late(4, 0)
		timeless.Time = time.Time{}
		bus.send("orders", late(1, 20*time.Millisecond), late(2, 20*time.Millisecond),
			late(3, 3*time.Second), timeless)
		synctest.Wait()
		if d := delays(t, r); d.Count != 3 || math.Abs(d.Sum-3.04) > 1e-6 {
			t.Errorf("%d records, late by %v s in all; want 3, 3.04", d.Count, d.Sum)
		}
	})
}

func TestWhatIsReadAtTheStartIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		bus.tail = "00000002"
		r := start(t, bus, router.Config{})
		orders := open(t, r, "orders")
		synctest.Wait()
		bus.confirm("orders")
		synctest.Wait()
		for i := range 3 {
			e := record(i+1, `{"to":"user:alice","data":1}`)
			e.Read = time.Now()
			e.Time = e.Read.Add(-time.Second)
			bus.send("orders", e)
		}
		synctest.Wait()
		<-orders.Ready()
		if d := delays(t, r); d.Count != 1 {
			t.Errorf("%d records are late, want the one behind the tail", d.Count)
		}
	})
}

// delays returns what the metric for them shows.
func delays(t *testing.T, r *router.Router) metric.Distribution {
	t.Helper()
	for _, m := range r.Metrics() {
		if m.Name == "bus_delay_seconds" {
			return m.Timings()[""]
		}
	}
	t.Fatal("there is no such metric")
	return metric.Distribution{}
}
