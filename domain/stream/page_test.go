package stream_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// plainText writes a message's data, and all its targets if none matched.
type plainText struct{}

func (plainText) Message(_ domain.System, m *domain.Message, to domain.Target, _ domain.Cursor) stream.Frame {
	if to == (domain.Target{}) {
		return stream.Frame{Bytes: fmt.Appendf(nil, "%s %v", m.Data, m.To)}
	}
	return stream.Frame{Bytes: fmt.Appendf(nil, "%s %v", m.Data, to)}
}

func (plainText) Gap(domain.System, domain.GapReason, domain.Cursor) stream.Frame { panic("not asked") }

// page reads a page of the window, which is there at once.
func (f *fixture) page(part stream.Part) stream.PageResult {
	f.t.Helper()
	part.Encoder = plainText{}
	p := f.OpenPage(stream.Asker{}, part)
	select {
	case <-p.Done():
	default:
		f.t.Error("the page waits")
	}
	return p.Close()
}

func texts(frames [][]byte) (all []string) {
	for _, f := range frames {
		all = append(all, string(f))
	}
	return all
}

func targets(names ...string) (all []domain.Target) {
	for _, n := range names {
		all = append(all, target(n))
	}
	return all
}

func TestAPageHasWhatASessionWouldHaveBeenTold(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := begun(t, stream.Config{HasLog: true, Now: func() time.Time { return now }})
	f.deliver(1, "a", "user:alice")
	f.deliver(2, "b", "user:bob", "room:x")
	f.deliver(3, "c", "*")
	short := message("short", "d", "user:alice")
	short.TTL = time.Second
	f.record(pos(4), now, short)
	f.deliver(5, "e", "room:x", "user:alice")
	f.deliver(5, "e", "room:x", "user:alice") // a repetition, at the same place: it takes none
	now = now.Add(time.Minute)

	everything := stream.Part{After: f.cursorAt(0), Most: 100, Bytes: 1000}
	got := f.page(everything)
	want := []string{"a [user:alice]", "b [user:bob room:x]", "c [*]", "e [room:x user:alice]"}
	if diff := cmp.Diff(want, texts(got.Messages)); diff != "" || !got.Whole || got.More || got.Gap != "" {
		t.Errorf("%+v (-want +got):\n%s", got, diff)
	}
	for _, c := range []struct {
		what    string
		part    stream.Part
		want    []string
		reached int
		more    bool
	}{
		{"for alice", stream.Part{Targets: targets("user:alice")}, []string{"a user:alice", "e user:alice"}, 5, false},
		{"for alice and her room", stream.Part{Targets: targets("user:alice", "room:x")},
			[]string{"a user:alice", "b room:x", "e room:x"}, 5, false},
		{"for nobody", stream.Part{Targets: targets("user:carol")}, nil, 5, false},
		{"two", stream.Part{Most: 2}, []string{"a [user:alice]", "b [user:bob room:x]"}, 2, true},
		{"as many bytes as one has", stream.Part{Bytes: 3}, []string{"a [user:alice]"}, 1, true},
		{"from the second on", stream.Part{After: f.cursorAt(2), Targets: targets("room:x", "*")},
			[]string{"c *", "e room:x"}, 5, false},
		{"before the third", stream.Part{Before: f.cursorAt(3)}, []string{"a [user:alice]", "b [user:bob room:x]"}, 2, false},
		{"the newest before the fifth", stream.Part{Before: f.cursorAt(5), Newest: true, Most: 1}, []string{"c [*]"}, 3, false},
	} {
		part := c.part
		part.Most, part.Bytes = max(part.Most, 1), max(part.Bytes, 1)
		if c.part.Most == 0 {
			part.Most = 100
		}
		if c.part.Bytes == 0 {
			part.Bytes = 1000
		}
		if part.After.IsZero() {
			part.After = f.cursorAt(0)
		}
		got := f.page(part)
		if diff := cmp.Diff(c.want, texts(got.Messages), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
		if placeName(got.Reached) != fmt.Sprint(c.reached) || got.More != c.more || got.Whole == c.more {
			t.Errorf("%s: it reaches %s, more %v, whole %v", c.what, placeName(got.Reached), got.More, got.Whole)
		}
	}
	if st := f.Stats(); st.Sessions != 0 || st.Offered != 0 || st.Resumed != 0 {
		t.Errorf("pages count as sessions: %+v", st)
	}
}

// An id stands for another message after longer than ids are remembered. A page before the
// later one goes past the earlier one.
func TestAPageEndsAtAPlaceAndNotAtAnID(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := begun(t, stream.Config{HasLog: true, DedupeAge: time.Minute, Age: 2 * time.Hour, Now: func() time.Time { return now }})
	f.record(pos(1), now, message("again", "a", "*"))
	f.record(pos(2), now, message("other", "b", "*"))
	now = now.Add(time.Hour)
	f.record(pos(3), now, message("again", "c", "*"))
	before := domain.Cursor{Log: logA, Position: pos(3), ID: domain.HashID("again")}
	got := f.page(stream.Part{After: f.cursorAt(0), Before: before, Most: 9, Bytes: 1000, Newest: true})
	if diff := cmp.Diff([]string{"a [*]", "b [*]"}, texts(got.Messages)); diff != "" || !got.Whole {
		t.Errorf("%+v (-want +got):\n%s", got, diff)
	}
}

func TestAPageSaysWhichGapsLieInIt(t *testing.T) {
	f := begun(t, stream.Config{HasLog: true})
	f.deliver(1, "a", "*")
	f.deliver(2, "b", "*")
	f.gap(domain.Lossy, logA, pos(3), time.Time{})
	f.deliver(4, "c", "*")
	f.deliver(5, "d", "*")
	for _, c := range []struct {
		what string
		part stream.Part
		gap  domain.GapReason
		want int
	}{
		{"across it", stream.Part{After: f.cursorAt(0), Most: 9}, domain.Lossy, 4},
		{"up to the message before it", stream.Part{After: f.cursorAt(0), Most: 2}, "", 2},
		{"from the message before it", stream.Part{After: f.cursorAt(2), Most: 1}, domain.Lossy, 1},
		{"behind it", stream.Part{After: f.cursorAt(4), Most: 9}, "", 1},
		{"before the message behind it", stream.Part{After: f.cursorAt(0), Before: f.cursorAt(4), Most: 9}, domain.Lossy, 2},
		{"before the message before it", stream.Part{After: f.cursorAt(0), Before: f.cursorAt(2), Most: 9}, "", 1},
		{"the newest across it", stream.Part{After: f.cursorAt(0), Most: 3, Newest: true}, domain.Lossy, 3},
		{"the newest behind it", stream.Part{After: f.cursorAt(0), Most: 2, Newest: true}, "", 2},
		{"from a cursor that is too old", stream.Part{After: domain.Cursor{Log: 7, Position: pos(1)}, Most: 9}, domain.UnknownCursor, 0},
	} {
		c.part.Bytes = 1000
		if got := f.page(c.part); got.Gap != c.gap || len(got.Messages) != c.want {
			t.Errorf("%s: gap %q, %d messages; want %q, %d", c.what, got.Gap, len(got.Messages), c.gap, c.want)
		}
	}
}

// A page is never live, and leaves nothing behind.
func TestNothingIsOfferedToAPageThatIsDone(t *testing.T) {
	f := begun(t, stream.Config{HasLog: true})
	f.deliver(1, "a", "*")
	p := f.OpenPage(stream.Asker{}, stream.Part{After: f.cursorAt(0), Most: 9, Bytes: 99, Encoder: plainText{}})
	f.deliver(2, "b", "*")
	f.deliver(3, "c", "*")
	got := p.Close()
	if diff := cmp.Diff([]string{"a [*]"}, texts(got.Messages)); diff != "" || placeName(got.Reached) != "1" {
		t.Errorf("it reaches %s (-want +got):\n%s", placeName(got.Reached), diff)
	}
	f.deliver(4, "d", "*")
	if st := f.Stats(); st.FellBack != 0 {
		t.Errorf("it fell back: %+v", st)
	}
}

func TestAPageWaitsForACursorThatIsAhead(t *testing.T) {
	f := begun(t, stream.Config{HasLog: true})
	p := f.OpenPage(stream.Asker{}, stream.Part{After: f.cursorAt(1), Most: 9, Bytes: 99, Encoder: plainText{}})
	select {
	case <-p.Done():
		t.Error("it does not wait")
	default:
	}
	f.deliver(1, "a", "*")
	f.deliver(2, "b", "*")
	<-p.Done()
	if got := p.Close(); !got.Whole || got.Gap != "" {
		t.Errorf("%+v", got)
	}
}

// Whatever was published: pages that go forward, and pages that go back, have together
// what there is, each message once.
func TestPagesTogetherAreTheWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_700_000_000, 0)
		cfg := stream.Config{HasLog: rapid.Bool().Draw(t, "log"), Now: func() time.Time { return now },
			Messages: rapid.IntRange(1, 60).Draw(t, "window")}
		sys, _ := domain.ParseSystem("orders")
		s := stream.New(sys, cfg)
		place := func(n int) domain.Position {
			if cfg.HasLog {
				return pos(n)
			}
			return ""
		}
		log := domain.LogID(0)
		if cfg.HasLog {
			log = logA
		}
		s.Step(&domain.Entry{Kind: domain.Start, Log: log, Position: place(1)}, nil)
		names := []string{"user:alice", "user:bob", "room:x", "*"}
		var published [][]string // of each message in the window, the targets
		for i := range rapid.IntRange(0, 80).Draw(t, "entries") {
			at := domain.Entry{Kind: domain.Record, Position: place(i + 2), Time: now}
			if rapid.IntRange(0, 9).Draw(t, "control") == 0 {
				s.Step(&at, nil)
				continue
			}
			to := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID[string]).Draw(t, "to")
			s.Step(&at, message(fmt.Sprint("m", i), fmt.Sprint(i), to...))
			published = append(published, append([]string{fmt.Sprint(i)}, to...))
		}
		published = published[max(0, len(published)-cfg.Messages):]
		wanted := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID[string]).Draw(t, "wanted")
		var want []string
		for _, p := range published {
			if len(wanted) == 0 || slices.ContainsFunc(p[1:], func(to string) bool { return slices.Contains(wanted, to) }) {
				want = append(want, p[0])
			}
		}
		part := stream.Part{Targets: targets(wanted...), Most: rapid.IntRange(1, 12).Draw(t, "limit"), Bytes: 1000, Encoder: dataOnly{}}
		start := s.Newest(part.Targets, domain.Cursor{}, 1000)
		if start.Count != len(want) || start.Whole {
			t.Fatalf("%+v: want %d messages", start, len(want))
		}
		forward, back := forward(t, s, part, start.At), backward(t, s, part)
		if diff := cmp.Diff(want, forward, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("forward (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, back, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("backward (-want +got):\n%s", diff)
		}
	})
}

type dataOnly struct{ plainText }

func (dataOnly) Message(_ domain.System, m *domain.Message, _ domain.Target, _ domain.Cursor) stream.Frame {
	return stream.Frame{Bytes: m.Data}
}

func forward(t *rapid.T, s *stream.Stream, part stream.Part, at domain.Cursor) (all []string) {
	for part.After = at; ; {
		p := s.OpenPage(stream.Asker{}, part)
		<-p.Done()
		got := p.Close()
		if all = append(all, texts(got.Messages)...); !got.More {
			return all
		}
		if len(got.Messages) != part.Most || got.Gap != "" {
			t.Fatalf("a page that is not the last one: %+v", got)
		}
		part.After = got.Reached
	}
}

func backward(t *rapid.T, s *stream.Stream, part stream.Part) (all []string) {
	for part.Newest = true; ; {
		start := s.Newest(part.Targets, part.Before, part.Most)
		if start.Count == 0 {
			return all
		}
		part.After = start.At
		p := s.OpenPage(stream.Asker{}, part)
		<-p.Done()
		got := p.Close()
		if len(got.Messages) != start.Count || got.Gap != "" || !got.Whole {
			t.Fatalf("%d messages, want %d: %+v", len(got.Messages), start.Count, got)
		}
		all = append(texts(got.Messages), all...)
		part.Before = got.Cursors[0]
	}
}
