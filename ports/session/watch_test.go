package session_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
)

const ok = `{"op":"ok"}`

// lobby is the beginning of all that is said about chat/lobby.
const lobby = `{"op":"presence","system":"chat","room":"lobby",`

// come lets users come to chat/lobby, or leave it, without telling the registry.
func (p *plane) come(delta int, users ...string) {
	for _, u := range users {
		p.Attach(system("chat"), "lobby", u, delta)
	}
}

// A change of so many users that it names none is told as the state.
func TestAChangeThatNamesNobodyIsToldAsTheState(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	who := p.begin(t, "alice", "systems=chat")
	who.Watch(place("chat", "lobby"), true, nil)
	who.wants(t, lobby+`"count":0,"users":[]}`)
	p.come(1, "bob")
	p.changed([]string{"bob"}, nil)
	who.wants(t, lobby+`"count":1,"joined":["bob"],"left":[]}`)
	p.come(1, "carol")
	cut := p.Change(place("chat", "lobby"), nil, nil)
	cut.Cut = true
	p.registry.PresenceChanged(cut)
	who.wants(t, lobby+`"count":2,"users":["bob","carol"]}`)
	p.come(-1, "bob")
	p.changed(nil, []string{"bob"})
	who.wants(t, lobby+`"count":1,"joined":[],"left":["bob"]}`)
}

// changed tells the registry of a change in chat/lobby.
func (p *plane) changed(joined, left []string) {
	p.registry.PresenceChanged(p.Change(place("chat", "lobby"), joined, left))
}

func TestWatchersGetTheStateAndThenItsChanges(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	p.come(1, "bob", "carol \"c\"")
	who, many := p.begin(t, "alice", "systems=chat"), p.begin(t, "alice", "systems=chat")
	if !who.Watch(place("chat", "lobby"), true, []byte(ok)) || !many.Watch(place("chat", "lobby"), false, []byte(ok)) {
		t.Fatal("refused")
	}
	who.wants(t, ok, lobby+`"count":2,"users":["bob","carol \"c\""]}`)
	many.wants(t, ok, lobby+`"count":2}`)
	p.come(1, "dave")
	p.changed([]string{"dave"}, nil)
	who.wants(t, lobby+`"count":3,"joined":["dave"],"left":[]}`)
	many.wants(t, lobby+`"count":3}`)
	p.come(-1, "bob")
	p.changed(nil, []string{"bob"})
	who.wants(t, lobby+`"count":2,"joined":[],"left":["bob"]}`)
	many.wants(t, lobby+`"count":2}`)
	p.registry.PresenceChanged(control.Change{Place: place("chat", ""), Count: 9})
	p.registry.PresenceChanged(control.Change{Place: place("orders", "lobby"), Count: 9})
	who.wants(t) // it watches neither
	// Another mode begins with a state again, and so does whoever comes late.
	many.Watch(place("chat", "lobby"), true, []byte(ok))
	many.wants(t, ok, lobby+`"count":2,"users":["carol \"c\"","dave"]}`)
	if p.Watched() != 1 {
		t.Errorf("%d places are watched", p.Watched())
	}
	who.Unwatch(place("chat", "lobby"))
	who.Unwatch(place("chat", "lobby"))
	p.changed(nil, []string{"x"})
	who.wants(t)
	many.End(0)
	who.End(0)
	if p.Watched() != 0 || len(p.Faults()) > 0 {
		t.Errorf("%d places are watched: %v", p.Watched(), p.Faults())
	}
}

func TestTheSystemItselfCanBeWatched(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	l := p.begin(t, "alice", "systems=chat")
	l.Watch(place("chat", ""), true, []byte(ok))
	l.wants(t, ok, `{"op":"presence","system":"chat","count":1,"users":["alice"]}`)
	l.End(0)
}

// Changes are gathered for a while, and may come to nothing: who begins to watch in the
// meantime has seen a part of them.
func TestWhoBeginsToWatchAmidChangesEndsWithTheTruth(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	p.come(1, "alice", "bob")
	before, amid := p.begin(t, "alice", "systems=chat"), p.begin(t, "alice", "systems=chat")
	many := p.begin(t, "alice", "systems=chat")
	before.Watch(place("chat", "lobby"), true, nil)
	before.wants(t, lobby+`"count":2,"users":["alice","bob"]}`)
	p.come(1, "carol")
	p.changed([]string{"carol"}, nil)
	before.wants(t, lobby+`"count":3,"joined":["carol"],"left":[]}`)
	p.come(-1, "bob")
	amid.Watch(place("chat", "lobby"), true, nil)
	amid.wants(t, lobby+`"count":2,"users":["alice","carol"]}`)
	many.Watch(place("chat", "lobby"), false, nil)
	p.come(1, "bob")
	p.changed(nil, nil)
	before.wants(t)
	amid.wants(t, lobby+`"count":3,"users":["alice","bob","carol"]}`)
	many.wants(t, lobby+`"count":3}`) // as of the last change
	// A change that was in the state already, since it was told late, is not told again.
	p.come(-1, "carol")
	p.changed(nil, []string{"carol"})
	p.come(1, "dave")
	late := p.Change(place("chat", "lobby"), []string{"dave"}, nil)
	before.took()
	amid.took()
	amid.Watch(place("chat", "lobby"), true, nil)
	amid.wants(t, lobby+`"count":3,"users":["alice","bob","dave"]}`)
	p.registry.PresenceChanged(late)
	amid.wants(t)
	before.wants(t, lobby+`"count":3,"joined":["dave"],"left":[]}`)
	p.come(-1, "alice")
	p.changed(nil, []string{"alice"})
	for _, l := range []*listener{before, amid} {
		l.wants(t, lobby+`"count":2,"joined":[],"left":["alice"]}`)
	}
	for _, l := range []*listener{before, amid, many} {
		l.End(0)
	}
}

// Of more users than Config.Members only the count is told, until they are fewer again.
func TestCrowdsAreOnlyCounted(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{Members: 2})
	p.come(1, "a", "b", "c")
	l := p.begin(t, "alice", "systems=chat")
	l.Watch(place("chat", "lobby"), true, []byte(ok))
	l.wants(t, ok, lobby+`"count":3}`)
	p.come(1, "d")
	p.changed([]string{"d"}, nil)
	l.wants(t, lobby+`"count":4}`)
	p.come(-1, "a", "b")
	p.changed(nil, []string{"a", "b"})
	l.wants(t, lobby+`"count":2,"users":["c","d"]}`)
	p.come(-1, "c")
	p.changed(nil, []string{"c"})
	l.wants(t, lobby+`"count":1,"joined":[],"left":["c"]}`)
	p.come(1, "e", "f")
	p.changed([]string{"e", "f"}, nil)
	l.wants(t, lobby+`"count":3}`)
	p.come(-1, "f")
	p.changed(nil, []string{"f"})
	l.wants(t, lobby+`"count":2,"users":["d","e"]}`)
	l.End(0)
}

// A client without room is not closed: it gets the state when there is room, whatever it
// has missed.
func TestSlowWatchersGetTheStateWhenThereIsRoom(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	slow, fast := p.begin(t, "alice", "systems=chat"), p.begin(t, "bob", "systems=chat")
	for _, l := range []*listener{slow, fast} {
		l.Watch(place("chat", "lobby"), true, []byte(ok))
		p.changed(nil, nil)
		l.took()
	}
	slow.took()
	fast.took()
	slow.setFull(true)
	for i := range 1000 {
		p.come(1, fmt.Sprint("user", i))
		p.changed([]string{fmt.Sprint("user", i)}, nil)
		p.come(-1, fmt.Sprint("user", i))
		p.changed(nil, []string{fmt.Sprint("user", i)})
	}
	p.come(1, "eve")
	p.changed([]string{"eve"}, nil)
	slow.setFull(false)
	slow.wants(t, lobby+`"count":1,"users":["eve"]}`)
	slow.setFull(false) // nothing is left to be told
	slow.wants(t)
	if n := len(fast.took()); n != 2001 {
		t.Errorf("the other got %d changes", n)
	}
	// The same where there is no room for the state at first.
	third := p.begin(t, "carol", "systems=chat")
	third.setFull(true)
	third.Watch(place("chat", "lobby"), false, []byte(ok))
	third.setFull(false)
	third.wants(t, lobby+`"count":1}`)
	for _, l := range []*listener{slow, fast, third} {
		l.End(0)
	}
}

// Room that comes before Fill does is not used for a change: one is missing before it.
func TestNoChangeFollowsOneThatWasMissed(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{Members: 2})
	l := p.begin(t, "alice", "systems=chat")
	l.Watch(place("chat", "lobby"), true, []byte(ok))
	p.changed(nil, nil)
	l.took()
	l.setFull(true)
	p.come(1, "bob")
	p.changed([]string{"bob"}, nil)
	l.full = false
	p.come(1, "carol")
	p.changed([]string{"carol"}, nil)
	l.wants(t)
	l.Fill()
	l.wants(t, lobby+`"count":2,"users":["bob","carol"]}`)
	// A state that is a mere count, since more have come after the change, is no base for
	// changes either.
	p.come(1, "zoe")
	p.come(-1, "zoe")
	crowd := p.Change(place("chat", "lobby"), nil, nil)
	p.come(1, "dave")
	crowd.Cut = true
	p.registry.PresenceChanged(crowd)
	l.wants(t, lobby+`"count":3}`)
	p.come(-1, "dave")
	p.changed(nil, []string{"dave"})
	l.wants(t, lobby+`"count":2,"users":["bob","carol"]}`)
	l.End(0)
}

func TestASessionWatchesAFewPlaces(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	l := p.begin(t, "alice", "systems=chat,shop")
	for i := range l.MaxWatches() {
		if sys := []string{"chat", "shop"}[i%2]; !l.Watch(place(sys, fmt.Sprint(i)), false, []byte(ok)) {
			t.Fatalf("the watch %d is refused", i)
		}
	}
	l.took()
	if l.Watch(place("chat", "more"), false, []byte(ok)) || len(l.took()) > 0 {
		t.Error("one too many")
	}
	if !l.Watch(place("chat", "0"), true, []byte(ok)) {
		t.Error("what is watched cannot be watched otherwise")
	}
	lost := l.KeepWatching(func(p control.Place) bool { return p.System == system("chat") })
	if len(lost) != l.MaxWatches()/2 || p.Watched() != l.MaxWatches()-len(lost) {
		t.Errorf("lost %v, and %d are left", lost, p.Watched())
	}
	l.End(0)
	if p.Watched() != 0 || len(p.Faults()) > 0 {
		t.Errorf("%d places are watched: %v", p.Watched(), p.Faults())
	}
}

// Whatever room there is and when, a watcher that has room in the end knows the truth.
func TestWatchersEndWithTheTruth(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	for range 50 {
		p := newPlane(t, bearers{}, session.Config{Members: 4})
		l := p.begin(t, "alice", "systems=chat")
		l.Watch(place("chat", "lobby"), true, []byte(ok))
		there, net, known := make(map[string]bool), make(map[string]bool), map[string]bool(nil)
		var heard []string
		for i := range 100 {
			user := fmt.Sprint("u", random.IntN(7))
			if there[user] = !there[user]; there[user] {
				p.come(1, user)
			} else {
				p.come(-1, user)
			}
			if _, came := net[user]; came {
				delete(net, user)
			} else {
				net[user] = there[user]
			}
			if random.IntN(10) == 0 { // a client that comes again, or late, before the change is told
				l.Watch(place("chat", "lobby"), true, []byte(ok))
			}
			if random.IntN(2) == 0 || i == 99 { // changes are gathered
				var joined, left []string
				for user, came := range net {
					if came {
						joined = append(joined, user)
					} else {
						left = append(left, user)
					}
				}
				clear(net)
				p.changed(joined, left)
			}
			l.setFull(random.IntN(3) == 0)
			heard = append(heard, l.took()...)
		}
		l.setFull(false)
		heard = append(heard, l.took()...)
		for _, op := range heard {
			known = learn(t, op, known)
		}
		want := p.Who(place("chat", "lobby"), 100)
		if want.Count > 4 != (known == nil) || known != nil && len(known) != want.Count {
			t.Fatalf("knows %v of %v", known, want)
		}
		for _, u := range want.Users {
			if known != nil && !known[u.User] {
				t.Fatalf("knows %v of %v", known, want)
			}
		}
		l.End(0)
	}
}

// BenchmarkPresenceChanged tells a change to many sessions that watch a place.
func BenchmarkPresenceChanged(b *testing.B) {
	const crowd = 10_000
	p := newPlane(b, bearers{}, session.Config{SessionsPerUser: 2 * crowd})
	all := make([]*session.Session, crowd)
	for i := range all {
		s, err := p.open("alice", "systems=chat")
		if err != nil {
			b.Fatal(err)
		}
		s.Begin(&conn{})
		s.Watch(place("chat", "lobby"), i%2 == 0, nil)
		all[i] = s
	}
	b.ReportAllocs()
	for b.Loop() {
		p.come(1, "bob")
		p.changed([]string{"bob"}, []string{"carol"})
		p.come(-1, "bob")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/crowd, "ns/session")
	for _, s := range all {
		s.End(0)
	}
}

// learn returns what a client knows after an op: nil if it knows only how many there are.
func learn(t *testing.T, op string, known map[string]bool) map[string]bool {
	t.Helper()
	names := func(member string) (all []string, found bool) {
		_, rest, found := strings.Cut(op, `"`+member+`":[`)
		list, _, _ := strings.Cut(rest, "]")
		for name := range strings.SplitSeq(list, ",") {
			if name != "" {
				all = append(all, strings.Trim(name, `"`))
			}
		}
		return all, found
	}
	if op == ok {
		return known
	}
	users, full := names("users")
	joined, change := names("joined")
	left, _ := names("left")
	switch {
	case full:
		known = make(map[string]bool)
		joined = users
	case !change:
		return nil
	case known == nil:
		t.Fatalf("a change came to a client without a state: %s", op)
	}
	for _, name := range joined {
		known[name] = true
	}
	for _, name := range left {
		delete(known, name)
	}
	return known
}
