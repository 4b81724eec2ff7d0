package stream_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/domain/trace"
)

// sought is the message that deliver has put at a position, as somebody asks for it.
func (f *fixture) sought(at int, to ...string) stream.Sought {
	q := stream.Sought{ID: fmt.Sprint("id-", at), Cursor: f.cursorAt(at), To: message("", "", to...).To}
	q.Cursor.ID = domain.HashID(q.ID)
	return q
}

// fate returns a message's state, and its fate for sessions that are there and for what
// stays of those that have ended.
func (f *fixture) fate(q stream.Sought, all ...any) string {
	f.t.Helper()
	p := f.Locate(q)
	told := []string{string(p.State) + say(p.Reason)}
	for _, s := range all {
		var past stream.Past
		switch s := s.(type) {
		case *session:
			past = s.Past()
		case stream.Past:
			past = s
		}
		fate, reason := f.Fate(p, &past, time.Time{}, time.Time{})
		told = append(told, string(fate)+say(reason))
	}
	return strings.Join(told, ", ")
}

func say(reason domain.GapReason) string {
	if reason == "" {
		return ""
	}
	return "(" + string(reason) + ")"
}

func (f *fixture) wantFate(want string, q stream.Sought, all ...any) {
	f.t.Helper()
	if got := f.fate(q, all...); got != want {
		f.t.Errorf("%s: %s, want %s", q.ID, got, want)
	}
}

func withLog(t testing.TB) *fixture { return begun(t, stream.Config{HasLog: true}) }

func TestFateFollowsFromPlaces(t *testing.T) {
	s := withLog(t)
	s.deliver(1, "before", "user:alice")
	alice, bob := s.attach("user:alice", "session:a1"), s.attach("user:bob", "room:ops")
	s.deliver(2, "a", "user:alice")
	s.deliver(3, "b", "user:bob", "room:ops")
	s.deliver(4, "c", "*")
	s.deliver(5, "d", "session:a1")
	s.deliver(6, "e", "room:ops")
	bob.Leave(target("room:ops"))
	s.deliver(7, "f", "room:ops")
	bob.Join(target("room:ops"))
	s.deliver(8, "g", "room:ops")
	gone := bob.Detach()
	s.deliver(9, "h", "room:ops", "user:bob")

	s.wantFate("read, not_attached_then, not_addressed", s.sought(1, "user:alice"), alice, gone)
	s.wantFate("read, offered, not_addressed", s.sought(2, "user:alice"), alice, gone)
	s.wantFate("read, not_in_room, written", s.sought(3, "user:bob", "room:ops"), alice, gone)
	s.wantFate("read, offered, written", s.sought(4, "*"), alice, gone)
	s.wantFate("read, offered, not_addressed", s.sought(5, "session:a1"), alice, gone)
	s.wantFate("read, not_in_room, written", s.sought(6, "room:ops"), alice, gone)
	s.wantFate("read, not_in_room, not_in_room", s.sought(7, "room:ops"), alice, gone)
	s.wantFate("read, not_in_room, written", s.sought(8, "room:ops"), alice, gone)
	s.wantFate("read, not_in_room, not_attached_then", s.sought(9, "room:ops", "user:bob"), alice, gone)
	s.wantFate("not_yet, not_yet, not_attached_then", s.sought(10, "*"), alice, gone)
}

func TestStateSaysWhatBecameOfAMessage(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := newFixture(t, stream.Config{HasLog: true, Messages: 8, Now: func() time.Time { return now }})
	s.start(logA, pos(5), now)
	alice := s.attach("user:alice")
	s.deliver(6, "a", "user:alice")
	s.record(pos(7), now, message("id-6", "a", "user:alice")) // a repetition
	late := message("id-8", "b", "user:alice")
	late.TTL = time.Second
	s.record(pos(8), now.Add(-time.Minute), late)
	s.poison(pos(9), now)
	s.gap(domain.Trimmed, logA, pos(20), now)
	s.deliver(21, "c", "user:alice")

	again := s.sought(7, "user:alice")
	again.ID, again.Cursor.ID = "id-6", domain.HashID("id-6")
	expired := s.sought(8, "user:alice")
	expired.TTL, expired.LoggedAt = time.Second, now.Add(-time.Minute)
	poison := s.sought(9)
	poison.Poison = true
	elsewhere := s.sought(6, "user:alice")
	elsewhere.Cursor.Log = 77
	s.wantFate("before_start, not_attached_then", s.sought(3, "user:alice"), alice)
	s.wantFate("read, offered", s.sought(6, "user:alice"), alice)
	s.wantFate("duplicate, duplicate", again, alice)
	s.wantFate("expired, expired", expired, alice)
	s.wantFate("poison, poison", poison, alice)
	s.wantFate("gap(trimmed), gap(trimmed)", s.sought(15, "user:alice"), alice)
	s.wantFate("gap(trimmed), not_addressed", s.sought(15, "user:bob"), alice)
	s.wantFate("unknown, unknown", elsewhere, alice)
	if p := s.Locate(again); p.DuplicateOf.Position != pos(6) {
		t.Errorf("it repeats what is at %x", p.DuplicateOf.Position)
	}
	if p := s.Locate(s.sought(21, "user:alice", "*")); p.Sessions != 1 {
		t.Errorf("offered to %d sessions, want 1", p.Sessions)
	}

	for i := range 20 { // the window moves on
		s.deliver(22+i, "x", "user:bob")
	}
	s.wantFate("read, offered", s.sought(6, "user:alice"), alice)
	s.wantFate("poison, poison", poison, alice)
	s.wantFate("gap(trimmed), gap(trimmed)", s.sought(15, "user:alice"), alice)
}

func TestFateOfWhatASlowSessionMisses(t *testing.T) {
	s := begun(t, stream.Config{HasLog: true, Messages: 3})
	slow := s.attach("user:alice")
	slow.room = 1
	for i := range 3 {
		s.deliver(i+1, "x", "user:alice")
	}
	s.wantFate("read, offered", s.sought(1, "user:alice"), slow)
	s.wantFate("read, behind", s.sought(2, "user:alice"), slow)
	for i := range 6 {
		s.deliver(i+4, "x", "user:alice")
	}
	slow.room = 2
	slow.Fill()
	s.wantFate("read, offered", s.sought(1, "user:alice"), slow)
	s.wantFate("read, gap(overflow)", s.sought(2, "user:alice"), slow)
	s.wantFate("read, gap(overflow)", s.sought(6, "user:alice"), slow)
	s.wantFate("read, offered", s.sought(7, "user:alice"), slow)
	s.wantFate("read, behind", s.sought(8, "user:alice"), slow)
	gone := slow.Detach()
	s.wantFate("read, written", s.sought(7, "user:alice"), gone)
	s.wantFate("read, ended_before_written", s.sought(8, "user:alice"), gone)
	gone.NoteUnwritten(s.cursorAt(7))
	s.wantFate("read, ended_before_written", s.sought(7, "user:alice"), gone)
	s.wantFate("read, written", s.sought(1, "user:alice"), gone)
	s.wantFate("read, gap(overflow)", s.sought(5, "user:alice"), gone)
}

func TestFateOfWhatCameBeforeACursor(t *testing.T) {
	s := begun(t, stream.Config{HasLog: true, Messages: 3})
	for i := range 9 {
		s.deliver(i+1, "x", "user:alice")
	}
	back := s.attachAt("user:alice", s.cursorAt(7))
	late := s.attachAt("user:alice", s.cursorAt(2)) // no backlog: what the window has no more is lost
	ahead := s.attachAt("user:alice", s.cursorAt(10))
	s.wantFate("read, acked, acked, acked", s.sought(2, "user:alice"), back, late, ahead)
	s.wantFate("read, acked, gap(trimmed), acked", s.sought(5, "user:alice"), back, late, ahead)
	s.wantFate("read, offered, offered, acked", s.sought(9, "user:alice"), back, late, ahead)
	s.wantFate("not_yet, not_yet, not_yet, waiting", s.sought(11, "user:alice"), back, late, ahead)
}

func TestFateOfExpiredMessagesThatASessionCameToLate(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := newFixture(t, stream.Config{HasLog: true, Now: func() time.Time { return now }})
	s.start(logA, pos(0), now)
	quick, slow := s.attach("user:alice"), s.attach("user:alice")
	slow.room = 0
	m := message("id-1", "x", "user:alice")
	m.TTL = time.Second
	s.record(pos(1), now, m)
	q := s.sought(1, "user:alice")
	q.TTL, q.LoggedAt = time.Second, now
	now = now.Add(time.Minute)
	slow.room = 10
	slow.Fill()
	s.wantFate("read, offered, expired", q, quick, slow)
}

func TestFateWithoutALogIsFoundByTheID(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := newFixture(t, stream.Config{Now: func() time.Time { return now }})
	s.start(0, "", now)
	alice := s.attach("user:alice")
	now = now.Add(time.Second)
	s.record("", now, message("here", "x", "user:alice"))
	now = now.Add(time.Second)
	lost := now
	now = now.Add(time.Second)
	s.gap(domain.Lossy, 0, "", now)
	elsewhere := domain.Cursor{Log: 99, Position: pos(4711)}
	ask := func(id string, at time.Time) stream.Sought {
		return stream.Sought{ID: id, Cursor: elsewhere, LoggedAt: at, To: []domain.Target{target("user:alice")}}
	}
	s.wantFate("read, offered", ask("here", now), alice)
	s.wantFate("gap(lossy), gap(lossy)", ask("lost", lost), alice)
	s.wantFate("before_start, not_attached_then", ask("old", now.Add(-time.Hour)), alice)
	s.wantFate("unknown, unknown", ask("later", now.Add(time.Hour)), alice)
}

// What Fate says is what the sessions have got, whatever has happened to them.
func TestFateSaysWhatSessionsGot(t *testing.T) {
	for range 60 {
		seed := rand.Uint64()
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { fateOfAll(t, rand.New(rand.NewPCG(seed, 0))) }) {
			return
		}
	}
}

// A life is a session that may have ended, and what it has met.
type life struct {
	*session
	past  stream.Past
	ended bool
}

func fateOfAll(t *testing.T, r *rand.Rand) {
	s := begun(t, stream.Config{HasLog: true, Messages: 12})
	rooms := []string{"room:a", "room:b"}
	targets := append([]string{"user:alice", "user:bob", "*"}, rooms...)
	var lives []*life
	sent := map[int][]string{}
	for at := 1; at <= 150; at++ {
		switch what := r.IntN(12); {
		case what == 0 && len(lives) < 12:
			since := domain.Cursor{}
			if r.IntN(2) == 0 {
				since = s.cursorAt(r.IntN(at))
			}
			lives = append(lives, &life{session: s.join(since, targets[r.IntN(2)])})
			lives[len(lives)-1].Fill()
		case what == 1 && at%5 == 0:
			s.gap(domain.Lossy, logA, pos(at), time.Time{})
			continue
		default:
			to := []string{targets[r.IntN(len(targets))], targets[r.IntN(len(targets))]}
			sent[at] = to
			s.deliver(at, "x", to...)
		}
		for _, l := range lives {
			if l.ended {
				continue
			}
			switch room := target(rooms[r.IntN(2)]); r.IntN(8) {
			case 0:
				l.Join(room)
			case 1:
				l.Leave(room)
			case 2:
				l.room = r.IntN(6)
			case 3:
				l.Fill()
			case 4:
				if r.IntN(6) == 0 {
					l.ended, l.past = true, l.Detach()
				}
			}
		}
	}
	for at, to := range sent {
		q := s.sought(at, to...)
		for i, l := range lives {
			past := l.past
			if !l.ended {
				past = l.Past()
			}
			place := s.Locate(q)
			fate, reason := s.Fate(place, &past, time.Time{}, time.Time{})
			if fate == trace.Uncertain { // a session remembers only so many gaps
				continue
			}
			got := slices.ContainsFunc(l.frames, func(f string) bool { return strings.HasPrefix(f, fmt.Sprint(at, " ")) })
			said := fate == trace.Offered || fate == trace.Written
			if got != said {
				t.Errorf("message %d for %v: session %d (ended: %v) has got it: %v; its fate is %s %s; it got %q",
					at, to, i, l.ended, got, fate, reason, l.frames)
			}
		}
	}
}
