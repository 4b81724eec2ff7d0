package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

const testGrace = 3 * time.Second

var chat, _ = domain.ParseSystem("chat")

var lobby = Place{chat, "lobby"}

func always(domain.System) bool { return true }

func testConfig(grace time.Duration) *Config {
	return &Config{Presence: always, Events: always, Grace: grace, Rows: 1000}
}

// second is the time s seconds after 2001.
func second(s float64) Now {
	d := time.Duration(s * float64(time.Second))
	return Now{Mono: d, Wall: 1_000_000_000_000 + d.Milliseconds()}
}

func is(t *testing.T, p *presence, at Place, want ...Present) {
	t.Helper()
	if page := p.who(at, "", 100); !slices.Equal(page.Users, want) || page.Count != len(want) {
		t.Errorf("there are %+v, want %+v", page, want)
	}
}

func kinds(p *presence) (kinds []EventType) {
	for _, t := range p.journal.all {
		kinds = append(kinds, t.kind)
	}
	return kinds
}

func TestWhoIsBackWithinTheGraceHasNotLeft(t *testing.T) {
	for _, back := range []string{"here", "on another node"} {
		p := newPresence(testConfig(testGrace))
		p.add(second(0), lobby, "alice", 1, cause{"a", 1})
		p.watch(lobby)
		p.add(second(1), lobby, "alice", -1, cause{"a", 2})
		is(t, p, lobby, Present{"alice", 0, 1_000_000_000_000})
		if p.tick(second(3.999)); back == "here" {
			p.add(second(3.999), lobby, "alice", 1, cause{"a", 3})
		} else {
			p.set(second(3.999), 4, row{lobby, "alice", 1}, cause{"b", 1})
		}
		p.tick(second(60))
		is(t, p, lobby, Present{"alice", 1, 1_000_000_000_000})
		if c, k := p.changes(), kinds(p); len(c) > 0 || len(k) != 1 {
			t.Errorf("back %s: changes %v, events %v", back, c, k)
		}
	}
}

func TestTheGraceEnds(t *testing.T) {
	p := newPresence(testConfig(testGrace))
	system := Place{System: chat}
	for _, at := range []Place{system, lobby} {
		p.add(second(0), at, "alice", 2, cause{"a", 1})
		p.watch(at)
		p.add(second(1), at, "alice", -1, cause{"a", 2})
		p.add(second(2), at, "alice", -1, cause{"a", 3})
	}
	p.tick(second(4.999))
	is(t, p, lobby, Present{"alice", 0, 1_000_000_000_000})
	p.tick(second(5))
	is(t, p, lobby)
	want := []Change{
		{Place: system, From: 1, To: 3, Left: []string{"alice"}},
		{Place: lobby, From: 2, To: 4, Left: []string{"alice"}},
	}
	if got := fmt.Sprint(p.changes()); got != fmt.Sprint(want) {
		t.Errorf("changes are %v, want %v", got, want)
	}
	events := []EventType{Online, Occupied, Offline, Vacated}
	if got := kinds(p); !slices.Equal(got, events) {
		t.Errorf("events are %v, want %v", got, events)
	}
}

func TestANodeThatDiesTakesOnlyItsOwn(t *testing.T) {
	p := newPresence(testConfig(testGrace))
	p.set(second(0), 1, row{lobby, "alice", 1}, cause{})
	p.set(second(0), 1, row{lobby, "bob", 2}, cause{})
	p.set(second(0), 2, row{lobby, "bob", 1}, cause{})
	p.beginSnapshot(1) // it dies while it tells who is there
	p.stage(1, row{lobby, "carol", 1})
	p.drop(second(10), 1, cause{"a", 9})
	p.tick(second(13))
	is(t, p, lobby, Present{"bob", 1, 1_000_000_000_000})
	if n, sum := p.digest(1); n != 0 || sum != 0 || p.stagedRows != 0 || len(p.tallies) != 1 {
		t.Errorf("remain %d rows, %d staged, tallies %v", n, p.stagedRows, p.tallies)
	}
	if p.endSnapshot(second(14), 1, 0, 0, cause{}) || p.stage(1, row{lobby, "dave", 1}) {
		t.Error("the snapshot of a dead node goes on")
	}
}

func TestASnapshotIsShownWhenItIsComplete(t *testing.T) {
	p := newPresence(testConfig(testGrace))
	alice, bob := row{lobby, "alice", 1}, row{lobby, "bob", 2}
	p.set(second(0), 1, alice, cause{})
	_, sum := digestOf(map[spot]int{{lobby, "bob"}: 2})
	for _, wrong := range []struct {
		n   int
		sum uint64
	}{{1, sum + 1}, {2, sum}, {0, 0}} {
		p.beginSnapshot(1)
		p.stage(1, bob)
		is(t, p, lobby, Present{"alice", 1, 1_000_000_000_000})
		if p.endSnapshot(second(1), 1, wrong.n, wrong.sum, cause{}) {
			t.Errorf("digest %+v is taken", wrong)
		}
		is(t, p, lobby, Present{"alice", 1, 1_000_000_000_000})
	}
	p.beginSnapshot(1)
	p.stage(1, alice)
	p.stage(1, bob)
	p.set(second(1), 1, row{lobby, "alice", 0}, cause{}) // a delta between the parts
	p.set(second(1.5), 1, row{lobby, "carol", 1}, cause{})
	p.stage(1, row{lobby, "carol", 0}) // said later
	if !p.endSnapshot(second(2), 1, 1, sum, cause{}) {
		t.Error("the right digest is not taken")
	}
	p.tick(second(5))
	is(t, p, lobby, Present{"bob", 2, 1_000_000_002_000})
}

func TestRowsAreBounded(t *testing.T) {
	cfg := testConfig(testGrace)
	cfg.Rows = 2
	p := newPresence(cfg)
	set := func(user string, n int) bool { return p.set(second(0), 1, row{lobby, user, n}, cause{}) }
	if !set("alice", 1) || !set("bob", 1) || set("carol", 1) {
		t.Error("not exactly two rows are taken")
	}
	if !set("alice", 5) || !set("carol", 0) || !set("bob", 0) || !set("carol", 1) {
		t.Error("a change that needs no room, or for which there is room, is refused")
	}
	p.beginSnapshot(2)
	for i, want := range []bool{true, true, false} {
		if p.stage(2, row{lobby, fmt.Sprint(i), 1}) != want {
			t.Errorf("staged row %d: not %v", i, want)
		}
	}
	if n, sum := p.digest(2 | staged); p.endSnapshot(second(0), 2, n, sum, cause{}) {
		t.Error("a snapshot exceeds the bound")
	}
	if rows, _ := p.counts(); rows != 2 || p.stagedRows != 0 {
		t.Errorf("%d rows, %d staged", rows, p.stagedRows)
	}
}

func TestWrongRowsAreRefused(t *testing.T) {
	p := newPresence(testConfig(testGrace))
	long := strings.Repeat("x", domain.MaxName+1)
	p.beginSnapshot(1)
	for _, r := range []row{
		{lobby, long, 1}, {Place{chat, long}, "alice", 1}, {lobby, "", 1}, {lobby, "alice", -1},
		{Place{Room: "lobby"}, "alice", 1}, {lobby, "alice", 1 << 31},
	} {
		if p.set(second(0), 1, r, cause{}) || p.stage(1, r) {
			t.Errorf("%.40v is taken", r)
		}
		p.add(second(0), r.place, r.user, min(r.n, 1), cause{})
		p.markDirty([]row{{r.place, long, 1}})
	}
	p.add(second(0), lobby, "alice", -1, cause{}) // was never there
	if p.dir.names.end > 1 || p.seats.end > 1 {
		t.Errorf("%d names and %d seats are kept", p.dir.names.end, p.seats.end)
	}
}

func TestPagesOfWhoIsThere(t *testing.T) {
	p := newPresence(testConfig(testGrace))
	const users = 1000
	for i := range users {
		p.add(second(0), lobby, fmt.Sprintf("user%04d", i*7%users), 1, cause{})
	}
	for _, limit := range []int{1, 7, 100, 999, 1000, 5000} {
		var got []string
		after := ""
		for pages := 0; pages == 0 || after != ""; pages++ {
			page := p.who(lobby, after, limit)
			if len(page.Users) > limit || page.Count != users {
				t.Fatalf("limit %d: %d users, count %d", limit, len(page.Users), page.Count)
			}
			for _, u := range page.Users {
				got = append(got, u.User)
			}
			after = page.Next
		}
		if len(got) != users || !slices.IsSorted(got) || len(slices.Compact(got)) != users {
			t.Errorf("limit %d: %d users", limit, len(got))
		}
	}
	if page := p.who(lobby, "", 0); page.Count != users || page.Users != nil || page.Next != "" {
		t.Errorf("only the count: %+v", page)
	}
	if page := p.who(Place{chat, "cellar"}, "", 10); page.Count != 0 || page.Users != nil {
		t.Errorf("nobody is in the cellar, but %+v", page)
	}
}

func TestWatchesTellTheNet(t *testing.T) {
	p := newPresence(testConfig(0))
	p.add(second(0), lobby, "alice", 1, cause{})
	p.watch(lobby)
	p.watch(lobby)
	p.unwatch(lobby)
	p.add(second(1), lobby, "bob", 1, cause{}) // came and went
	p.add(second(1), lobby, "bob", -1, cause{})
	p.add(second(2), lobby, "carol", 1, cause{})
	p.add(second(2), lobby, "alice", -1, cause{})
	if page := p.who(lobby, "", 0); page.Version != 5 {
		t.Errorf("the version is %d", page.Version)
	}
	want := fmt.Sprint([]Change{
		{Place: lobby, From: 1, To: 5, Count: 1, Joined: []string{"carol"}, Left: []string{"alice"}}})
	if got := fmt.Sprint(p.changes()); got != want {
		t.Errorf("changes are %v, want %v", got, want)
	}
	for i := range maxNet + 1 {
		p.set(second(3), 1, row{lobby, fmt.Sprint(i), 1}, cause{})
		p.cfg.Rows++
	}
	want = fmt.Sprint([]Change{{Place: lobby, From: 5, To: maxNet + 6, Count: maxNet + 2, Cut: true}})
	if got := fmt.Sprint(p.changes()); got != want {
		t.Errorf("changes are %v, want %v", got, want)
	}
	p.add(second(4), lobby, "alice", 1, cause{}) // came and went, but somebody may have asked between
	p.add(second(4), lobby, "alice", -1, cause{})
	want = fmt.Sprint([]Change{{Place: lobby, From: maxNet + 6, To: maxNet + 8, Count: maxNet + 2}})
	if got := fmt.Sprint(p.changes()); got != want {
		t.Errorf("changes are %v, want %v", got, want)
	}
	p.add(second(5), lobby, "alice", 1, cause{})
	p.unwatch(lobby)
	p.unwatch(lobby)
	if got := p.changes(); got != nil || len(p.watched.at) > 0 {
		t.Errorf("changes of what nobody watches are %v", got)
	}
}
