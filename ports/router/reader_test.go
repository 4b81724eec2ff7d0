package router_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/router"
)

// A pastLog is a log that can be read from its end, too. The first entry that it still
// has is entries[0]; it was trimmed if trimmed is set.
type pastLog struct {
	fakeLog
	trimmed bool
	pause   time.Duration // before each answer of Back
}

func (l *pastLog) Back(ctx context.Context, _ string, upTo domain.Location, n int) (domain.Position, bool, error) {
	select {
	case <-time.After(l.pause):
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
	if l.broken != nil {
		return "", false, l.broken
	}
	end := len(l.entries)
	for upTo.Position != "" && end > 0 && l.entries[end-1].Position > upTo.Position {
		end--
	}
	switch {
	case end > n || end == n && !l.trimmed:
		return l.before(end - n), false, nil
	default:
		return l.before(0), end < n, nil
	}
}

// before returns the position that an entry follows.
func (l *pastLog) before(i int) domain.Position {
	switch {
	case i > 0:
		return l.entries[i-1].Position
	case l.trimmed:
		return l.entries[0].Position[:7] // right before the first one that is left
	}
	return "\x00"
}

func (l *pastLog) Replay(
	ctx context.Context, _ string, after domain.Location, from time.Time, yield func([]domain.Entry) bool,
) error {
	switch {
	case l.broken != nil:
		return l.broken
	case after.Log != 1:
		return &domain.GapError{Reason: domain.UnknownCursor}
	case l.trimmed && after.Position < l.before(0):
		return &domain.GapError{Reason: domain.Trimmed}
	}
	for _, e := range l.entries {
		if e.Position > after.Position || !from.IsZero() && !e.Time.Before(from) {
			if !yield([]domain.Entry{e}) {
				return nil
			}
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// Locate knows that the log 9 was copied to this one, entry by entry.
func (l *pastLog) Locate(
	_ context.Context, _ string, wanted []domain.Location, _ time.Time, _ int,
) ([]domain.Location, int, error) {
	found := make([]domain.Location, len(wanted))
	for i, w := range wanted {
		if w.Log == 9 {
			found[i] = domain.Location{Log: 1, Position: w.Position}
		}
	}
	return found, 50, nil
}

// A library is a Reader of one system whose window has the last of so many messages.
type library struct {
	t *testing.T
	*router.Reader
	router *router.Router
	hub    *stream.Hub
	log    *pastLog
	lead   stream.Asker
}

// body is message n: for alice, for bob, for the room x, and for everyone, in turn.
func body(n int) string {
	to := []string{"*", "user:alice", "user:bob", "room:x"}[n%4]
	return fmt.Sprintf(`{"to":%q,"id":"m%d","type":"t","data":%d}`, to, n, n)
}

// newLibrary fills a log with n messages, a second apart, and lets the window have the
// last five.
func newLibrary(t *testing.T, n int, cfg router.ReaderConfig, change func(*pastLog)) *library {
	bus, past := newBus(), &pastLog{}
	for i := range n {
		e := record(i+1, body(i+1))
		e.Time = time.Now().Add(time.Duration(i-n) * time.Second)
		past.entries = append(past.entries, e)
	}
	if change != nil {
		change(past)
	}
	r := start(t, bus, router.Config{Replayer: past})
	hub := stream.NewHub(r, stream.HubConfig{
		Systems: []domain.System{system(t, "orders")}, AttachWait: -1,
		Stream: stream.Config{HasLog: true, Messages: 5, Backlog: stream.NewBudget(1 << 20), Age: time.Hour},
	})
	if err := hub.Start(); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	bus.confirm("orders")
	synctest.Wait()
	bus.send("orders", past.entries...)
	synctest.Wait()
	cfg.Rewinder = past
	return &library{t: t, Reader: router.NewReader(r, hub, cfg), router: r, hub: hub, log: past}
}

func (l *library) page(part stream.Part, to ...string) (stream.Excerpt, error) {
	for _, name := range to {
		target, err := domain.ParseTarget(name)
		if err != nil {
			l.t.Fatal(err)
		}
		part.Targets = append(part.Targets, target)
	}
	part.Encoder = &listener{}
	if part.Bytes == 0 {
		part.Bytes = 1 << 20
	}
	return l.Page(l.t.Context(), system(l.t, "orders"), l.lead, part)
}

// all reads pages until there is no next one, from the newest to the oldest.
func (l *library) all(limit int, to ...string) (all []string, last domain.GapReason) {
	l.t.Helper()
	var before domain.Cursor
	for range 100 {
		x, err := l.page(stream.Part{Most: limit, Before: before}, to...)
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(texts(x.Messages), all...)
		if x.Next.IsZero() {
			return all, x.Reason
		}
		before = x.Next
	}
	l.t.Fatal("pages without end")
	return nil, ""
}

func texts(frames [][]byte) (all []string) {
	for _, f := range frames {
		all = append(all, string(f))
	}
	return all
}

// numbersOf returns those from first to last that are for one of the targets of body.
func numbersOf(first, last int, kinds ...int) (all []string) {
	for n := first; n <= last; n++ {
		if len(kinds) == 0 || slices.Contains(kinds, n%4) {
			all = append(all, fmt.Sprint(n))
		}
	}
	return all
}

func TestPagesGoBackThroughTheWindowAndTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 3000, router.ReaderConfig{}, nil)
		for _, c := range []struct {
			limit int
			to    []string
			want  []string
		}{
			{1000, nil, numbersOf(1, 3000)},
			{700, []string{"user:alice"}, numbersOf(1, 3000, 1)},
			{333, []string{"room:x", "*"}, numbersOf(1, 3000, 3, 0)},
			{10, []string{"user:carol"}, nil},
		} {
			got, reason := l.all(c.limit, c.to...)
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" || reason != "" {
				t.Errorf("for %v: %q (-want +got):\n%s", c.to, reason, diff)
			}
		}
	})
}

func TestPagesGoForwardFromACursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 3000, router.ReaderConfig{}, nil)
		after := domain.Cursor{Log: 1, Position: record(1001, "").Position}
		var got []string
		for {
			x, err := l.page(stream.Part{Most: 300, After: after}, "user:bob")
			if err != nil || x.Reason != "" {
				t.Fatalf("%+v %v", x, err)
			}
			got = append(got, texts(x.Messages)...)
			if x.Next.IsZero() {
				break
			}
			after = x.Next
		}
		if diff := cmp.Diff(numbersOf(1002, 3000, 2), got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestPagesSayThatTheLogWasTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 100, router.ReaderConfig{}, func(p *pastLog) { p.trimmed, p.entries = true, p.entries[20:] })
		got, reason := l.all(15)
		if diff := cmp.Diff(numbersOf(21, 100), got); diff != "" || reason != domain.Trimmed {
			t.Errorf("%q (-want +got):\n%s", reason, diff)
		}
		// What is left of the log comes, though a session would be given the window alone.
		x, err := l.page(stream.Part{Most: 15, After: domain.Cursor{Log: 1, Position: record(3, "").Position}})
		if diff := cmp.Diff(numbersOf(21, 35), texts(x.Messages)); diff != "" || x.Reason != domain.Trimmed || err != nil {
			t.Errorf("%q %v (-want +got):\n%s", x.Reason, err, diff)
		}
	})
}

// What is said to be too far is not lost: the next page goes on from there.
func TestASearchThatWouldTakeTooLongGoesOnWithTheNextPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 3000, router.ReaderConfig{MaxScan: 700}, func(p *pastLog) {
			for i := range p.entries {
				if n := i + 1; n != 7 && n != 8 { // alice's are far back
					p.entries[i].Body = []byte(fmt.Sprintf(`{"to":"user:bob","id":"m%d","data":%d}`, n, n))
				} else {
					p.entries[i].Body = []byte(fmt.Sprintf(`{"to":"user:alice","id":"m%d","data":%d}`, n, n))
				}
			}
		})
		x, err := l.page(stream.Part{Most: 1}, "user:alice")
		if len(x.Messages) > 0 || x.Reason != domain.TooFar || x.Next.IsZero() || err != nil {
			t.Fatalf("%+v %v", x, err)
		}
		got, reason := l.all(1, "user:alice")
		if diff := cmp.Diff([]string{"7", "8"}, got); diff != "" || reason != "" {
			t.Errorf("%q (-want +got):\n%s", reason, diff)
		}
	})
}

func TestAPageHasNoMoreBytesThanAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 100, router.ReaderConfig{}, nil)
		x, err := l.page(stream.Part{Most: 50, Bytes: 21}) // 100 has three
		if diff := cmp.Diff(numbersOf(91, 100), texts(x.Messages)); diff != "" || err != nil || x.Reason != "" {
			t.Fatalf("%q %v (-want +got):\n%s", x.Reason, err, diff)
		}
		x, err = l.page(stream.Part{Most: 50, Bytes: 20, Before: x.Next})
		if diff := cmp.Diff(numbersOf(81, 90), texts(x.Messages)); diff != "" || err != nil || x.Reason != "" {
			t.Errorf("%q %v (-want +got):\n%s", x.Reason, err, diff)
		}
	})
}

func TestRepetitionsAndExpiredMessagesAreOnNoPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 40, router.ReaderConfig{}, func(p *pastLog) {
			p.entries[10].Body = []byte(body(5)) // again
			p.entries[11].Body = []byte(`{"to":"*","id":"short","data":12,"ttl":1}`)
			p.entries[12].Body = []byte(`{"to":`)
		})
		got, reason := l.all(7)
		want := slices.Concat(numbersOf(1, 10), numbersOf(14, 40))
		if diff := cmp.Diff(want, got); diff != "" || reason != "" {
			t.Errorf("%q (-want +got):\n%s", reason, diff)
		}
	})
}

func TestTheNewestMessagesOfASessionBeginAtACursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 1000, router.ReaderConfig{}, nil)
		alice, _ := domain.UserTarget("alice")
		lease, err := l.hub.Acquire(t.Context(), "", system(t, "orders"))
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Release()
		begun := time.Now()
		for _, c := range []struct {
			last stream.Last
			want []string
			why  domain.GapReason
		}{
			{stream.Last{Count: 1}, numbersOf(1000, 1000, 0, 1), ""},
			{stream.Last{Count: 20}, numbersOf(961, 1000, 0, 1), ""},
			{stream.Last{Count: 1000}, numbersOf(1, 1000, 0, 1), ""},
			{stream.Last{Age: 3500 * time.Millisecond}, numbersOf(998, 1000, 0, 1), ""},
			{stream.Last{Age: 100*time.Second + 1}, numbersOf(901, 1000, 0, 1), ""},
			{stream.Last{Age: time.Hour}, numbersOf(1, 1000, 0, 1), ""},
		} {
			if c.last.Age > 0 {
				c.last.Age += time.Since(begun)
			}
			at, why := l.Newest(t.Context(), lease.Stream, stream.Asker{}, []domain.Target{domain.Everyone, alice}, c.last)
			s := &listener{}
			a, _, _ := lease.Attach(stream.Asker{}, s, s, at, alice)
			a.Fill()
			synctest.Wait()
			time.Sleep(time.Second) // what is read again is offered each tenth of a second
			synctest.Wait()
			a.Detach()
			if diff := cmp.Diff(c.want, s.got); diff != "" || why != c.why {
				t.Errorf("%+v: %q (-want +got):\n%s", c.last, why, diff)
			}
		}
	})
}

func TestTheNewestMessagesAreNotAllThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 100, router.ReaderConfig{MaxScan: 10}, func(p *pastLog) { p.trimmed, p.entries = true, p.entries[80:] })
		lease, err := l.hub.Acquire(t.Context(), "", system(t, "orders"))
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Release()
		newest := func(last stream.Last) (string, domain.GapReason) {
			at, why := l.Newest(t.Context(), lease.Stream, stream.Asker{}, nil, last)
			return string(at.Position), why
		}
		if at, why := newest(stream.Last{Count: 16}); at != "00000085" || why != domain.TooFar {
			t.Errorf("beyond max_scan: %s %q", at, why)
		}
		if at, why := newest(stream.Last{Age: time.Hour}); at != "0000008" || why != domain.Trimmed {
			t.Errorf("trimmed: %s %q", at, why)
		}
		l.log.broken = domain.ErrBusDown
		if at, why := newest(stream.Last{Count: 10}); at != "00000095" || why != domain.TooFar {
			t.Errorf("without the log: %s %q", at, why)
		}
		l.log.broken, l.log.pause = nil, time.Hour
		begun := time.Now()
		if at, why := newest(stream.Last{Count: 10}); at != "00000095" || why != domain.TooFar {
			t.Errorf("with a log that is slow: %s %q", at, why)
		}
		if took := time.Since(begun); took != router.DefaultSearchTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

// Whoever has too much read is given what the window has: else a client that comes again and
// again with last would have the log read each time.
func TestTheNewestMessagesForOneWhoHasTooMuchRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 100, router.ReaderConfig{}, nil)
		lease, err := l.hub.Acquire(t.Context(), "", system(t, "orders"))
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Release()
		mallory := stream.Asker{User: "mallory"}
		for !lease.Reads().Over(mallory) {
			lease.Reads().Charge(mallory, stream.DefaultMaxScan)
		}
		l.log.pause = time.Hour
		begun := time.Now()
		for _, last := range []stream.Last{{Count: 10}, {Age: time.Hour}} {
			at, why := l.Newest(t.Context(), lease.Stream, mallory, nil, last)
			if string(at.Position) != "00000095" || why != domain.TooFar || time.Since(begun) > 0 {
				t.Errorf("%+v: %s %q, after %v", last, at.Position, why, time.Since(begun))
			}
		}
	})
}

// A cursor of the log that was there before the bus was moved is looked up.
func TestAPageBeforeACursorOfAnEarlierLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 100, router.ReaderConfig{}, func(p *pastLog) { p.origins = []domain.LogID{9} })
		earlier := domain.Cursor{Log: 9, Position: record(50, "").Position, ID: domain.HashID("m50"), Time: time.Now()}
		x, err := l.page(stream.Part{Most: 10, Before: earlier})
		if diff := cmp.Diff(numbersOf(40, 49), texts(x.Messages)); diff != "" || x.Reason != "" || err != nil {
			t.Errorf("%q %v (-want +got):\n%s", x.Reason, err, diff)
		}
		x, err = l.page(stream.Part{Most: 10, After: earlier})
		if diff := cmp.Diff(numbersOf(51, 60), texts(x.Messages)); diff != "" || x.Reason != "" || err != nil {
			t.Errorf("after: %q %v (-want +got):\n%s", x.Reason, err, diff)
		}
		earlier.Log = 8
		x, err = l.page(stream.Part{Most: 10, Before: earlier})
		if len(x.Messages) > 0 || x.Reason != domain.UnknownCursor || !x.Next.IsZero() || err != nil {
			t.Errorf("of a log that nobody knows: %+v %v", x, err)
		}
	})
}

// A driver of somebody's own may have a log that cannot be counted back from its end.
func TestALogThatCannotBeSearchedIsTooFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 100, router.ReaderConfig{}, nil)
		l.log.broken = fmt.Errorf("back: %w", domain.ErrUnsupported)
		got, reason := l.all(15)
		if diff := cmp.Diff(numbersOf(96, 100), got); diff != "" || reason != domain.TooFar {
			t.Errorf("%q (-want +got):\n%s", reason, diff)
		}
		all, complete, err := l.Find(t.Context(), system(t, "orders"), "m98")
		if len(all) != 1 || complete || err != nil {
			t.Errorf("found %v %v %v", all, complete, err)
		}
	})
}

func TestNobodyHasMoreReadThanMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 100, router.ReaderConfig{Pages: 6}, func(p *pastLog) { p.pause = time.Second })
		ask := func(user string, errs chan<- error) {
			_, err := l.Page(t.Context(), system(t, "orders"), stream.Asker{User: user},
				stream.Part{Most: 50, Bytes: 1 << 20, Encoder: &listener{}})
			errs <- err
		}
		alice, others := make(chan error, 5), make(chan error, 3)
		for range 5 {
			go ask("alice", alice)
		}
		synctest.Wait()
		for _, user := range []string{"bob", "carol", "dave"} {
			go ask(user, others)
		}
		synctest.Wait()
		if err := <-alice; !errors.Is(err, router.ErrReads) {
			t.Errorf("alice's fifth page: %v", err)
		}
		if err := <-others; !errors.Is(err, domain.ErrLimit) || errors.Is(err, router.ErrReads) {
			t.Errorf("the seventh page of all: %v", err)
		}
		for _, errs := range []chan error{alice, others} {
			for range cap(errs) - 1 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func TestMessagesAreFoundInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 2000, router.ReaderConfig{DedupeAge: time.Minute}, func(p *pastLog) {
			p.entries[1989].Body = []byte(`{"to":"user:alice","id":"again","data":1}`)
			p.entries[1996].Body = []byte(`{"to":"user:alice","id":"again","data":1}`)
			p.entries[1997].Body = []byte(`{"to":"user:alice","id":"fresh","data":1}`)
			p.entries[1998].Body = []byte(`{"to":"user:alice","id":"fresh","data":1}`)
			p.entries[1999].Body = []byte(`{"to":"user:alice","id":"fresh","data":2}`)
			p.entries[700].Body = []byte(`{"to":"nobody","id":"poison","data":1}`)
			p.entries[600].Body = []byte(`{"to":"user:alice","id":"short","data":1,"ttl":1}`)
		})
		for _, c := range []struct {
			id       string
			want     string
			complete bool
		}{
			{"m1", "1", true},
			{"m1700", "1700", true},
			{"m1995", "1995", true},
			{"again", "1990 1997=1990", true},
			{"fresh", "1998 1999=1998 2000", true},
			{"poison", "701?", true},
			{"short", "601", true},
			{"nobody's", "", true},
		} {
			all, complete, err := l.Find(t.Context(), system(t, "orders"), c.id)
			var got []string
			for _, f := range all {
				place := strings.TrimLeft(string(f.Cursor.Position), "0")
				if !f.DuplicateOf.IsZero() {
					place += "=" + strings.TrimLeft(string(f.DuplicateOf.Position), "0")
				}
				if f.Message == nil {
					place += "?"
				} else if f.Message.ID != c.id || f.Cursor.ID != domain.HashID(c.id) {
					t.Errorf("%s: found %+v", c.id, f)
				}
				got = append(got, place)
			}
			if strings.Join(got, " ") != c.want || complete != c.complete || err != nil {
				t.Errorf("%s: %v %v %v; want %s %v", c.id, got, complete, err, c.want, c.complete)
			}
		}
		short := router.NewReader(l.router, l.hub, router.ReaderConfig{Rewinder: l.log, MaxScan: 100})
		if all, complete, err := short.Find(t.Context(), system(t, "orders"), "m1"); len(all) > 0 || complete || err != nil {
			t.Errorf("beyond max_scan: %v %v %v", all, complete, err)
		}
	})
}

func TestTheCursorIsTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		r := start(t, bus, router.Config{})
		hub := stream.NewHub(r, stream.HubConfig{Systems: []domain.System{system(t, "orders")}, AttachWait: -1})
		if err := hub.Start(); err != nil {
			t.Fatal(err)
		}
		reader := router.NewReader(r, hub, router.ReaderConfig{})
		if _, err := reader.Cursor(t.Context(), system(t, "orders"), ""); !errors.Is(err, domain.ErrBusDown) {
			t.Errorf("before the bus has confirmed: %v", err)
		}
		if _, err := reader.Cursor(t.Context(), system(t, "chat"), ""); !errors.Is(err, domain.ErrNotServed) {
			t.Errorf("of another system: %v", err)
		}
		bus.confirm("orders")
		synctest.Wait()
		bus.send("orders", record(1, body(1)), record(2, `{"to":`))
		synctest.Wait()
		at, err := reader.Cursor(t.Context(), system(t, "orders"), "")
		if err != nil || at.Position == "" {
			t.Errorf("%v %v", at, err)
		}
	})
}
