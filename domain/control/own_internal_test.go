package control

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// TestReplicaFollowsWhatIsSaid has one presence say its rows to another, over a bus that
// does not take all messages, or loses the answer. A snapshot that is taken meanwhile has
// to be complete, however the rows change between its parts.
func TestReplicaFollowsWhatIsSaid(t *testing.T) {
	for round := range 40 {
		seed := rand.Uint64()
		t.Logf("round %d: seed %d", round, seed)
		random := rand.New(rand.NewPCG(seed, 0))
		a, b := newPresence(testConfig(0)), newPresence(testConfig(0))
		now := Now{}
		const replica = 7
		say := func(rows []row) {
			switch random.IntN(4) {
			case 0: // it was not taken
				a.markDirty(rows)
				return
			case 1: // it was taken, which nobody knows
				a.markDirty(rows)
			}
			for _, r := range rows {
				b.set(now, replica, r, cause{})
			}
		}
		for range 30 {
			changeOwn(random, a, now, 50)
			say(a.takeDirty(random.IntN(1000)))
			changeOwn(random, a, now, 50)
			// What may not have been heard is said before a snapshot.
			for _, r := range a.takeDirty(1 << 20) {
				b.set(now, replica, r, cause{})
			}
			changeOwn(random, a, now, 50)
			if ok := snapshot(random, a, b, now); !ok {
				t.Fatal("the snapshot is not complete")
			}
			sameRows(t, a, b, replica)
		}
	}
}

// snapshot sends the own rows of a in parts, with changes and deltas between them.
func snapshot(random *rand.Rand, a, b *presence, now Now) bool {
	const replica = 7
	a.startOwn()
	b.beginSnapshot(replica)
	for last := false; !last; {
		var part []row
		part, last = a.nextOwn(60 + random.IntN(300))
		for _, r := range part {
			if !b.stage(replica, r) {
				return false
			}
		}
		if last {
			break
		}
		changeOwn(random, a, now, 10)
		for _, r := range a.takeDirty(random.IntN(300)) {
			b.set(now, replica, r, cause{})
		}
	}
	n, sum := a.digest(0)
	return b.endSnapshot(now, replica, n, sum, cause{})
}

func changeOwn(random *rand.Rand, a *presence, now Now, times int) {
	for range times {
		at := Place{chat, []string{"", "lobby"}[random.IntN(2)]}
		a.add(now, at, fmt.Sprintf("user %d", random.IntN(30)), random.IntN(3)-1, cause{})
	}
}

// sameRows compares the own rows of a with those that b has of it, when all is said.
func sameRows(t *testing.T, a, b *presence, src source) {
	t.Helper()
	for _, r := range a.takeDirty(1 << 20) {
		b.set(Now{}, src, r, cause{})
	}
	n, sum := a.digest(0)
	if gotN, got := b.digest(src); gotN != n || got != sum {
		t.Fatalf("digest %d, %x, want %d, %x", gotN, got, n, sum)
	}
	want, got := rowsOf(a, 0), rowsOf(b, src)
	if !maps.Equal(got, want) || len(got) != n {
		t.Fatalf("rows are %v, want %v", got, want)
	}
}

func rowsOf(p *presence, src source) map[spot]int {
	rows := map[spot]int{}
	for id := range p.seats.end {
		if n := p.row(p.seats.at(id), src); n != nil && *n > 0 {
			r := p.rowOf(id, *n)
			rows[spot{r.place, r.user}] = r.n
		}
	}
	return rows
}

func TestRowsAreSaidOnceWithTheirNumberAsOfNow(t *testing.T) {
	p := newPresence(testConfig(time.Second))
	lobby := Place{chat, "lobby"}
	p.add(Now{}, lobby, "alice", 1, cause{})
	p.add(Now{}, lobby, "bob", 1, cause{})
	p.add(Now{}, lobby, "alice", 1, cause{})
	want := []row{{lobby, "alice", 2}, {lobby, "bob", 1}}
	if got := p.takeDirty(1000); !slices.Equal(got, want) || p.dirty() {
		t.Fatalf("said %v, want %v, and nothing more", got, want)
	}
	p.markDirty(want)
	p.add(Now{}, lobby, "alice", -2, cause{})
	want[0].n = 0
	if got := p.takeDirty(1000); !slices.Equal(got, want) {
		t.Errorf("said again %v, want %v", got, want)
	}
}

func TestWhatNobodyHeardOfIsNotSaid(t *testing.T) {
	p := newPresence(testConfig(time.Second))
	lobby := Place{chat, "lobby"}
	for range 10_000 { // the bus cannot be reached
		p.add(Now{}, lobby, "alice", 1, cause{})
		p.add(Now{}, lobby, "alice", -1, cause{})
		p.add(Now{}, lobby, "bob", 1, cause{})
	}
	if len(p.own.queue) > 100 {
		t.Errorf("%d wait to be said", len(p.own.queue))
	}
	want := []row{{lobby, "bob", 10_000}}
	if got := p.takeDirty(1000); !slices.Equal(got, want) {
		t.Errorf("said %v, want %v", got, want)
	}
	// An answer that is lost may hide that it was heard.
	p.markDirty([]row{{lobby, "carol", 1}})
	p.add(Now{}, lobby, "carol", 1, cause{})
	p.add(Now{}, lobby, "carol", -1, cause{})
	want = []row{{lobby, "carol", 0}}
	if got := p.takeDirty(1000); !slices.Equal(got, want) {
		t.Errorf("said %v, want %v", got, want)
	}
}

func TestPartsAreBounded(t *testing.T) {
	p := newPresence(testConfig(time.Second))
	for i := range 100 {
		p.add(Now{}, Place{chat, strings.Repeat(`"`, 200)}, fmt.Sprint(i), 1, cause{})
	}
	dirty := p.takeDirty(48 << 10)
	if !p.dirty() {
		t.Error("all 100 rows fit into 48 KiB")
	}
	p.takeDirty(1 << 20)
	p.startOwn()
	own, last := p.nextOwn(48 << 10)
	for _, rows := range [][]row{dirty, own} {
		if bytes := len(rows) * 1220; len(rows) == 0 || bytes > 48<<10 {
			t.Errorf("%d rows are in a part of 48 KiB", len(rows))
		}
	}
	if last {
		t.Error("a snapshot of 100 rows fits into 48 KiB")
	}
	p.add(Now{}, Place{System: chat}, "alice", 1, cause{})
	if rows := p.takeDirty(10); rows != nil {
		t.Errorf("%d rows are in 10 bytes", len(rows))
	}
}

func TestOnlySystemsWithPresenceHaveOwnRows(t *testing.T) {
	cfg := testConfig(time.Second)
	cfg.Presence = func(s domain.System) bool { return s != chat }
	p := newPresence(cfg)
	p.add(Now{}, Place{System: chat}, "alice", 1, cause{})
	if rows, users := p.counts(); rows+users > 0 || p.dirty() {
		t.Error("a row is kept for a system without presence")
	}
}
