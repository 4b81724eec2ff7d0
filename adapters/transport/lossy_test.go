package transport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A lossyBus keeps nothing, and does to what is published as its test wants.
type lossyBus struct {
	mu    sync.Mutex
	lose  func(payload string) bool
	feeds []*pipeFeed
	held  []transport.Outgoing // to be delivered by release
	hold  func(payload string) bool
	seen  []string // all that was published
}

func (b *lossyBus) driver() *fakeDriver { return &fakeDriver{publish: b.publish, follow: b.follow} }

func (b *lossyBus) publish(_ context.Context, out []transport.Outgoing) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range out {
		payload := string(r.Message.Payload)
		b.seen = append(b.seen, payload)
		switch {
		case b.lose != nil && b.lose(payload):
		case b.hold != nil && b.hold(payload):
			r.Message = message.NewMessage("", bytes.Clone(r.Message.Payload))
			b.held = append(b.held, r)
		default:
			b.deliver(payload)
		}
	}
	return nil
}

// deliver brings a payload to all feeds. Call it with mu held.
func (b *lossyBus) deliver(payload string) {
	for _, f := range b.feeds {
		f.in <- []domain.Entry{{Body: []byte(payload)}}
	}
}

func (b *lossyBus) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// release delivers what was held back.
func (b *lossyBus) release() {
	b.set(func() {
		for _, r := range b.held {
			b.deliver(string(r.Message.Payload))
		}
		b.held = nil
	})
}

func (b *lossyBus) follow(context.Context, string, domain.Position) (transport.Feed, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := &pipeFeed{fakeFeed: feed(0, ""), in: make(chan []domain.Entry, 10_000)}
	b.feeds = append(b.feeds, f)
	return f, nil
}

// cut interrupts all subscriptions.
func (b *lossyBus) cut() {
	b.set(func() {
		for _, f := range b.feeds {
			close(f.in)
		}
		b.feeds = nil
	})
}

// A pipeFeed returns what is sent to it.
type pipeFeed struct {
	*fakeFeed
	in chan []domain.Entry
}

func (f *pipeFeed) Read(context.Context) ([]domain.Entry, error) {
	select {
	case batch, ok := <-f.in:
		if !ok {
			return nil, errNet
		}
		return batch, nil
	case <-f.closed:
		return nil, domain.ErrClosed
	}
}

// envelope is a message as Fanfare publishes it.
func envelope(body string) *message.Message {
	m := message.NewMessage("ignored", []byte(body))
	m.Metadata.Set(transport.RawKey, "1")
	return m
}

func numbered(n int) *message.Message { return envelope(fmt.Sprintf(`{"to":"*","data":%d}`, n)) }

// A hearer collects what a subscription brings: data, and "gap" for gaps.
type hearer struct {
	mu  sync.Mutex
	got []string
}

func hear(t *testing.T, sub message.Subscriber) *hearer {
	h := &hearer{}
	in := subscribe(t, sub)
	go func() {
		for m := range in {
			batch, _ := domain.EntriesFrom(m.Context())
			h.mu.Lock()
			for _, e := range batch {
				h.got = append(h.got, said(e)...)
			}
			h.mu.Unlock()
			m.Ack()
		}
	}()
	synctest.Wait()
	return h
}

func said(e domain.Entry) []string {
	var body struct{ Data json.RawMessage }
	switch {
	case e.Kind == domain.Start:
		return nil
	case e.Kind == domain.Gap:
		return []string{"gap:" + string(e.Reason)}
	case json.Unmarshal(e.Body, &body) != nil || body.Data == nil:
		return []string{string(e.Body)}
	}
	return []string{string(body.Data)}
}

// take returns what was heard, and forgets it.
func (h *hearer) take() string {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	said := strings.Join(h.got, " ")
	h.got = nil
	return said
}

func mustPublish(t *testing.T, bus *transport.Transport, messages ...*message.Message) {
	t.Helper()
	if err := bus.Publish(topic, messages...); err != nil {
		t.Fatal(err)
	}
}

// lossy runs a test with a publishing and a listening Transport.
func lossy(t *testing.T, test func(t *testing.T, b *lossyBus, pub, sub *transport.Transport)) {
	synctest.Test(t, func(t *testing.T) {
		b := &lossyBus{}
		pub, sub := transport.New(b.driver(), transport.Config{}), transport.New(b.driver(), transport.Config{})
		defer mustClose(t, pub)
		defer mustClose(t, sub)
		test(t, b, pub, sub)
	})
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}

func TestWhatArrivesIsWhatWasPublished(t *testing.T) {
	lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
		in := subscribe(t, sub)
		plain := message.NewMessage("framed", []byte(`{"data":1}`)) // without RawKey
		for _, m := range []*message.Message{
			numbered(1), envelope(`{ "to":"*"}`), envelope(`{}`), envelope("{ \t\n}"), envelope(`[1]`), envelope(""), envelope(`{"`),
			envelope("{"), envelope(`{"mark":true}`), envelope(`{"mark":true,"x":1}`), envelope(`{"stamp":"0123456789abcdef:7","to":"*"}`), plain,
		} {
			before := m.Copy()
			mustPublish(t, pub, m)
			got := <-in
			if string(got.Payload) != string(before.Payload) || !m.Equals(before) {
				t.Errorf("%q became %q", before.Payload, got.Payload)
			}
			got.Ack()
			wire := b.seen[len(b.seen)-1]
			if json.Valid(before.Payload) && !json.Valid([]byte(wire)) {
				t.Errorf("a number spoiled %s: %s", before.Payload, wire)
			}
		}
		if !strings.HasPrefix(b.seen[0], `{"stamp":"`) || !strings.HasSuffix(b.seen[0], `:1","to":"*","data":1}`) {
			t.Errorf("on the wire: %s", b.seen[0])
		}
	})
}

func TestAMissingNumberIsOneGapBeforeWhatFollows(t *testing.T) {
	lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
		h := hear(t, sub.Batches())
		mustPublish(t, pub, numbered(1), numbered(2))
		b.set(func() { b.lose = func(string) bool { return true } })
		mustPublish(t, pub, numbered(3), numbered(4))
		b.set(func() { b.lose = nil })
		mustPublish(t, pub, numbered(5), numbered(6))
		want(t, h.take(), "1 2 gap:lossy 5 6")
		if s := sub.Stats(); s.Missing != 1 || s.Gaps[domain.Lossy] != 1 || s.Late != 0 {
			t.Errorf("counted %+v", s)
		}
	})
}

func TestLateAndRepeatedMessagesAreDropped(t *testing.T) {
	lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
		h := hear(t, sub.Batches())
		mustPublish(t, pub, numbered(1))
		b.set(func() { b.hold = func(string) bool { return true } })
		mustPublish(t, pub, numbered(2))
		b.set(func() { b.hold = nil })
		mustPublish(t, pub, numbered(3))
		want(t, h.take(), "1 gap:lossy 3")
		b.release()
		b.set(func() { b.deliver(b.seen[2]) }) // 3 again
		mustPublish(t, pub, numbered(4))
		want(t, h.take(), "4")
		if s := sub.Stats(); s.Missing != 1 || s.Late != 2 {
			t.Errorf("counted %+v", s)
		}
	})
}

// What is older than the first that was heard was never said to be missing.
func TestMessagesFromBeforeTheFirstArePassedOn(t *testing.T) {
	lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
		h := hear(t, sub.Batches())
		b.set(func() { b.hold = func(string) bool { return true } })
		mustPublish(t, pub, numbered(1), numbered(2))
		b.set(func() { b.hold = nil })
		mustPublish(t, pub, numbered(3))
		b.release()
		mustPublish(t, pub, numbered(4))
		want(t, h.take(), "3 1 2 4")
	})
}

func TestPublishersAndTopicsAreNumberedApart(t *testing.T) {
	lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
		other := transport.New(b.driver(), transport.Config{})
		defer mustClose(t, other)
		h := hear(t, sub.Batches())
		for i := range 100 {
			mustPublish(t, []*transport.Transport{pub, other}[i%2], numbered(i))
			b.set(func() { b.lose = func(string) bool { return true } })
			if err := pub.Publish("another topic", numbered(0)); err != nil {
				t.Fatal(err)
			}
			b.set(func() { b.lose, b.seen = nil, nil })
		}
		if got := h.take(); strings.Contains(got, "gap") || !strings.HasSuffix(got, "98 99") {
			t.Errorf("heard %q", got)
		}
	})
}

func TestForeignMessagesPassUntouched(t *testing.T) {
	lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
		h := hear(t, sub.Batches())
		foreign := []string{
			"hello", "", "{", `{"stamp":"x:1","data":2}`, `{"stamp":"0123456789ABCDEF:1","a":1}`, `{"stamp":"0123456789abcdef:01","a":1}`,
			`{"stamp":"0123456789abcdef:1"}`, `{"stamp":"0123456789abcdef:1`, `{"stamp":"0123456789abcdef:1234567890123456789","a":1}`,
			`{"stamp": "0123456789abcdef:1","a":1}`, `{"stamp":"0123456789abcdef:","a":1}`, `{"stamp":7,"a":1}`, `{"mark":true}`,
		}
		for i, f := range foreign {
			b.set(func() { b.deliver(f) })
			got := h.take()
			if f == `{"stamp":"x:1","data":2}` {
				f = "2"
			}
			want(t, got, f)
			mustPublish(t, pub, numbered(i))
			want(t, h.take(), fmt.Sprint(i))
		}
		if s := sub.Stats(); s.Missing+s.Late != 0 {
			t.Errorf("counted %+v", s)
		}
	})
}

func TestLostTailIsNoticedByTheMark(t *testing.T) {
	lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
		h := hear(t, sub.Batches())
		mustPublish(t, pub, numbered(1))
		b.set(func() { b.lose = func(string) bool { return true } })
		mustPublish(t, pub, numbered(2))
		b.set(func() { b.lose = nil })
		time.Sleep(900 * time.Millisecond)
		want(t, h.take(), "1")
		time.Sleep(200 * time.Millisecond)
		want(t, h.take(), "gap:lossy")
		time.Sleep(time.Hour)
		want(t, h.take(), "")
		mustPublish(t, pub, numbered(3))
		want(t, h.take(), "3")
		if s := sub.Stats(); s.Missing != 1 || s.Late != 0 {
			t.Errorf("counted %+v", s)
		}
	})
}

func TestMarksBackOff(t *testing.T) {
	lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
		h := hear(t, sub.Batches())
		mustPublish(t, pub, numbered(1))
		// While it goes on there are no marks
		for range 50 {
			time.Sleep(900 * time.Millisecond)
			mustPublish(t, pub, numbered(1))
		}
		if n := pub.Stats().HighWaterMarks; n != 0 {
			t.Errorf("%d marks in between", n)
		}
		last := time.Now()
		for _, due := range []int{1, 3, 7, 15, 31, 63, 123, 183, 243} {
			time.Sleep(time.Duration(due)*time.Second - time.Since(last) - time.Millisecond)
			before := pub.Stats().HighWaterMarks
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			if pub.Stats().HighWaterMarks != before+1 {
				t.Errorf("no mark %d s after the last message", due)
			}
		}
		if n := pub.Stats().HighWaterMarks; n != 9 {
			t.Errorf("%d marks, want 9", n)
		}
		mustPublish(t, pub, numbered(2)) // begins anew
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if n := pub.Stats().HighWaterMarks; n != 10 {
			t.Errorf("%d marks, want 10", n)
		}
		if got := h.take(); strings.Contains(got, "mark") || strings.Contains(got, "gap") {
			t.Errorf("heard %q", got)
		}
		if n := sub.Stats().HighWaterMarks + uint64(pub.Stats().Published); n != 52 {
			t.Errorf("marks count as messages: %d", n)
		}
	})
}

// A subscriber that comes while all is quiet learns from a mark where the
// numbers are.
func TestMarkIsABeginning(t *testing.T) {
	lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
		mustPublish(t, pub, numbered(1))
		h := hear(t, sub.Batches())
		time.Sleep(2 * time.Second)
		mustPublish(t, pub, numbered(2))
		want(t, h.take(), "2")
		late := hear(t, sub.Batches())
		time.Sleep(2 * time.Second)
		b.set(func() { b.lose = func(string) bool { return true } })
		mustPublish(t, pub, numbered(3))
		b.set(func() { b.lose = nil })
		mustPublish(t, pub, numbered(4))
		want(t, h.take(), "gap:lossy 4")
		want(t, late.take(), "gap:lossy 4")
	})
}

// Whether what is missing was lost in the interruption or right after it
// nobody can say: so a missing number is told even after the interruption.
func TestANumberMissingAcrossAnInterruptionIsTold(t *testing.T) {
	lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
		h := hear(t, sub.Batches())
		mustPublish(t, pub, numbered(1))
		want(t, h.take(), "1")
		b.cut()
		time.Sleep(time.Second)
		want(t, h.take(), "gap:lossy")
		b.set(func() { b.lose = func(string) bool { return true } })
		mustPublish(t, pub, numbered(2))
		b.set(func() { b.lose = nil })
		time.Sleep(time.Second) // the mark tells
		want(t, h.take(), "gap:lossy")
		mustPublish(t, pub, numbered(3), numbered(4))
		want(t, h.take(), "3 4")
		if s := sub.Stats(); s.Missing != 1 || s.Gaps[domain.Lossy] != 2 {
			t.Errorf("counted %+v", s)
		}
	})
}

func TestNumbersCanBeTurnedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &lossyBus{}
		bus := transport.New(b.driver(), transport.Config{NoNumbers: true})
		defer mustClose(t, bus)
		h := hear(t, bus.Batches())
		mustPublish(t, bus, numbered(1))
		b.set(func() {
			b.deliver(`{"stamp":"0123456789abcdef:1","a":1}`)
			b.deliver(`{"stamp":"0123456789abcdef:9","a":1}`)
		})
		time.Sleep(time.Hour)
		want(t, h.take(), `1 {"stamp":"0123456789abcdef:1","a":1} {"stamp":"0123456789abcdef:9","a":1}`)
		if b.seen[0] != string(numbered(1).Payload) || len(b.seen) != 1 {
			t.Errorf("published %q", b.seen)
		}
	})
}

func TestLogsAreNotNumbered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &lossyBus{}
		driver := b.driver()
		driver.guarantees = logged
		bus := transport.New(driver, transport.Config{})
		defer mustClose(t, bus)
		mustPublish(t, bus, numbered(1))
		time.Sleep(time.Hour)
		if len(b.seen) != 1 || b.seen[0] != string(numbered(1).Payload) {
			t.Errorf("published %q", b.seen)
		}
	})
}

// However many publishers there are, a subscription remembers the newest, and
// those it forgot begin anew without a gap.
func TestPublishersRememberedAreBounded(t *testing.T) {
	lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
		h := hear(t, sub.Batches())
		say := func(start, number int) {
			b.set(func() { b.deliver(fmt.Sprintf(`{"stamp":"%016x:%d","data":0}`, start, number)) })
		}
		for i := range 5000 {
			say(i, 1)
			say(77777, i+1) // one that always speaks
		}
		say(77777, 5002)
		say(0, 3)
		say(4999, 3)
		got := h.take()
		if n := strings.Count(got, "gap"); n != 2 || !strings.HasSuffix(got, " 0 gap:lossy 0 0 gap:lossy 0") {
			t.Errorf("%d gaps, at the end: %q", n, got[len(got)-40:])
		}
	})
}

// However it loses, holds back and repeats: what is missing is covered by a
// gap, nothing comes twice, and each publisher's messages come in order.
func TestEveryLossIsCoveredByAGap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range uint64(40) {
		lossy(t, func(t *testing.T, b *lossyBus, pub, sub *transport.Transport) {
			random := rand.New(rand.NewPCG(seed, round))
			h := hear(t, sub.Batches())
			oneIn := func(n int) bool { return random.IntN(n) == 0 }
			mustPublish(t, pub, numbered(0))
			b.set(func() {
				b.lose = func(string) bool { return oneIn(20) }
				b.hold = func(string) bool { return oneIn(20) }
			})
			for n := 1; n <= 200; n++ {
				mustPublish(t, pub, numbered(n))
				if oneIn(10) {
					b.release()
				}
				if oneIn(10) {
					b.set(func() { b.deliver(b.seen[random.IntN(len(b.seen))]) })
				}
			}
			b.set(func() { b.lose, b.hold = nil, nil })
			time.Sleep(3 * time.Second) // a mark
			next := 0
			gap := false
			for _, said := range strings.Fields(h.take()) {
				if said == "gap:lossy" {
					gap = true
					continue
				}
				var n int
				if _, err := fmt.Sscan(said, &n); err != nil || n < next {
					t.Fatalf("round %d: heard %q after %d", round, said, next-1)
				}
				if n != next && !gap {
					t.Fatalf("round %d: %d to %d are missing without a gap", round, next, n-1)
				}
				next, gap = n+1, false
			}
			if next != 201 && !gap {
				t.Fatalf("round %d: the end from %d on is missing without a gap", round, next)
			}
		})
	}
}
