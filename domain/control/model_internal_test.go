package control

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestPresenceAgreesWithAModel does the same random things to a presence and to maps of
// maps, and compares everything that can be asked.
func TestPresenceAgreesWithAModel(t *testing.T) {
	for round := range 60 {
		seed := rand.Uint64()
		t.Logf("round %d: seed %d", round, seed)
		random := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(t, []time.Duration{3 * time.Second, 0}[round%2])
		for range 1500 {
			w.step(random)
			if random.IntN(20) == 0 || t.Failed() {
				w.compare()
			}
			if t.Failed() {
				return
			}
		}
		w.empty()
	}
}

type spot struct {
	place Place
	user  string
}

// model is presence without any thought of memory.
type model struct {
	grace  time.Duration
	rows   map[source]map[spot]int
	staged map[source]map[spot]int
	since  map[spot]int64
	until  map[spot]time.Duration // ends of grace
	net    map[spot]bool          // of watched places, since the last changes
}

type world struct {
	t       *testing.T
	p       *presence
	m       model
	now     Now
	watched map[Place]int
	places  []Place
	users   []string
}

func newWorld(t *testing.T, grace time.Duration) *world {
	w := &world{t: t, watched: map[Place]int{}, p: newPresence(testConfig(grace))}
	w.m = model{grace, map[source]map[spot]int{}, map[source]map[spot]int{}, map[spot]int64{},
		map[spot]time.Duration{}, map[spot]bool{}}
	for _, room := range []string{"", "lobby", "tower", "cellar"} {
		w.places = append(w.places, Place{chat, room})
	}
	w.users = []string{"alice", "bob", "carol", "dave", "eve", "frank", "grace", "heidi"}
	return w
}

func (w *world) step(random *rand.Rand) {
	w.now.Mono += time.Duration(random.IntN(400)) * time.Millisecond
	w.now.Wall = 1_700_000_000_000 + w.now.Mono.Milliseconds()
	at, user := pick(random, w.places), pick(random, w.users)
	src, n := source(1+random.IntN(4)), random.IntN(3)
	w.tick()
	switch dice := random.IntN(100); {
	case dice < 35:
		delta := []int{-1, 1}[random.IntN(2)]
		w.p.add(w.now, at, user, delta, cause{})
		w.set(0, spot{at, user}, max(w.m.rows[0][spot{at, user}]+delta, 0))
	case dice < 75:
		if !w.p.set(w.now, src, row{at, user, n}, cause{}) {
			w.t.Error("set: refused")
		}
		w.set(src, spot{at, user}, n)
	case dice < 78:
		w.p.drop(w.now, src, cause{})
		w.swap(src, nil)
		delete(w.m.staged, src)
	case dice < 81:
		w.p.beginSnapshot(src)
		w.m.staged[src] = map[spot]int{}
	case dice < 89:
		if staged := w.m.staged[src]; staged != nil != w.p.stage(src, row{at, user, n}) {
			w.t.Error("stage: wrong answer")
		} else if staged != nil {
			put(staged, spot{at, user}, n)
		}
	case dice < 93:
		w.endSnapshot(src, random.IntN(3) > 0)
	case dice < 97:
		w.watch(at, random)
	default:
		w.compareChanges()
	}
}

func (w *world) endSnapshot(src source, right bool) {
	staged, begun := w.m.staged[src]
	n, sum := digestOf(staged)
	if !right {
		sum++
	}
	if ok := w.p.endSnapshot(w.now, src, n, sum, cause{}); ok != (begun && right) {
		w.t.Errorf("endSnapshot: %v; begun %v, digest right %v", ok, begun, right)
	}
	delete(w.m.staged, src)
	if begun && right {
		w.swap(src, staged)
	}
}

func (w *world) watch(at Place, random *rand.Rand) {
	if random.IntN(2) == 0 {
		w.watched[at]++
		w.p.watch(at)
		return
	}
	w.p.unwatch(at)
	if w.watched[at] = max(w.watched[at]-1, 0); w.watched[at] == 0 {
		maps.DeleteFunc(w.m.net, func(s spot, _ bool) bool { return s.place == at })
	}
}

// set is what a row does to the model.
func (w *world) set(src source, s spot, n int) {
	if w.m.rows[src] == nil {
		w.m.rows[src] = map[spot]int{}
	}
	if w.m.staged[src] != nil {
		put(w.m.staged[src], s, n)
	}
	before := w.sum(s)
	put(w.m.rows[src], s, n)
	after := w.sum(s)
	_, present := w.m.since[s]
	switch {
	case after > 0 && !present:
		w.m.since[s] = w.now.Wall / 1000 * 1000
		w.note(s, true)
	case after > 0:
		delete(w.m.until, s)
	case before > 0:
		w.m.until[s] = w.now.Mono + w.m.grace
		w.expire(s)
	}
}

func (w *world) swap(src source, rows map[spot]int) {
	delete(w.m.staged, src)
	for _, at := range w.places {
		for _, user := range w.users {
			w.set(src, spot{at, user}, rows[spot{at, user}])
		}
	}
}

func (w *world) tick() {
	w.p.tick(w.now)
	for s := range maps.Clone(w.m.until) {
		w.expire(s)
	}
}

func (w *world) expire(s spot) {
	if w.m.until[s] <= w.now.Mono {
		delete(w.m.until, s)
		delete(w.m.since, s)
		w.note(s, false)
	}
}

func (w *world) note(s spot, joined bool) {
	if w.watched[s.place] == 0 {
		return
	}
	if before, ok := w.m.net[s]; ok && before != joined {
		delete(w.m.net, s)
		return
	}
	w.m.net[s] = joined
}

func (w *world) sum(s spot) (sum int) {
	for _, rows := range w.m.rows {
		sum += rows[s]
	}
	return sum
}

func (w *world) compare() {
	w.t.Helper()
	users, rows := 0, 0
	for _, at := range w.places {
		var want []Present
		for s, since := range w.m.since {
			if s.place == at {
				want = append(want, Present{s.user, w.sum(s), since})
			}
		}
		slices.SortFunc(want, func(a, b Present) int { return cmp.Compare(a.User, b.User) })
		users += len(want)
		if got := w.p.who(at, "", 100); !slices.Equal(got.Users, want) || got.Count != len(want) {
			w.t.Errorf("%v: who is %+v, want %+v", at, got, want)
		}
		if got := w.p.find(at, w.users); !slices.Equal(got, want) {
			w.t.Errorf("%v: found are %+v, want %+v", at, got, want)
		}
	}
	for src := range source(5) {
		rows += len(w.m.rows[src])
		n, sum := digestOf(w.m.rows[src])
		if src == 0 {
			w.p.takeDirty(1 << 20)
		}
		if gotN, got := w.p.digest(src); gotN != n || got != sum {
			w.t.Errorf("source %d: digest is %d, %x, want %d, %x", src, gotN, got, n, sum)
		}
	}
	if r, u := w.p.counts(); r != rows || u != users {
		w.t.Errorf("counts are %d rows, %d users, want %d, %d", r, u, rows, users)
	}
}

func (w *world) compareChanges() {
	got := map[spot]bool{}
	for _, c := range w.p.changes() {
		if n := w.p.who(c.Place, "", 0).Count; c.Count != n || c.Cut {
			w.t.Errorf("change %+v: want count %d", c, n)
		}
		for _, user := range c.Joined {
			got[spot{c.Place, user}] = true
		}
		for _, user := range c.Left {
			got[spot{c.Place, user}] = false
		}
	}
	if !maps.Equal(got, w.m.net) {
		w.t.Errorf("changes are %v, want %v", got, w.m.net)
	}
	w.m.net = map[spot]bool{}
}

// empty lets everybody go: nothing may remain.
func (w *world) empty() {
	for src := range w.m.rows {
		if src != 0 {
			w.p.drop(w.now, src, cause{})
		}
	}
	for s, n := range w.m.rows[0] {
		w.p.add(w.now, s.place, s.user, -n, cause{})
	}
	w.p.takeDirty(1 << 20)
	w.now.Mono += time.Minute
	w.p.tick(w.now)
	d := &w.p.dir
	if d.texts.size-d.texts.dead > 0 {
		w.t.Errorf("%d bytes of names remain", d.texts.size-d.texts.dead)
	}
	if w.p.seats.end+w.p.more.end+d.names.end+d.places.end != 0 ||
		d.byAt.used+d.byName.used+w.p.bySeat.used != 0 || len(w.p.graces.bySeat) > 0 {
		w.t.Errorf("remains: %+v", w.p)
	}
}

func put(rows map[spot]int, s spot, n int) {
	if rows[s] = n; n == 0 {
		delete(rows, s)
	}
}

func digestOf(rows map[spot]int) (n int, sum uint64) {
	for s, number := range rows {
		h := hashName(hashPlace(s.place), s.user)
		for shift := 0; shift < 32; shift += 8 {
			h = (h ^ uint64(number>>shift&0xff)) * fnvPrime
		}
		sum ^= mix(h)
	}
	return len(rows), sum
}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }
