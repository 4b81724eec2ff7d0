package control

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Many nodes with many users die at once. They are forgotten in one pass, in steps that
// hold up nobody for long, and whoever is attached elsewhere stays.
func TestManyNodesAreForgottenLittleByLittle(t *testing.T) {
	const sources, users = 300, 35_000
	p := newPresence(&Config{Rows: 1 << 20, Presence: func(domain.System) bool { return true }})
	for i := range users {
		user := fmt.Sprint("user", i)
		p.set(second(0), source(1+i%sources), row{lobby, user, 1}, cause{})
		if i%7 == 0 {
			p.set(second(0), source(1+(i+1)%sources), row{lobby, user, 1}, cause{})
		}
		if i%100 == 0 {
			p.set(second(0), sources+1, row{lobby, user, 1}, cause{})
		}
	}
	for src := source(1); src <= sources; src++ {
		p.drop(second(1), src, cause{})
	}
	if !p.dropping() || p.who(lobby, "", 0).Count != users {
		t.Errorf("%d are there at first", p.who(lobby, "", 0).Count)
	}
	steps := 0
	for ; p.dropping() && steps < 100; steps++ {
		p.tick(second(2))
	}
	p.tick(second(9))
	if rows, _ := p.counts(); steps > 4 || rows != users/100 || p.who(lobby, "", 0).Count != users/100 {
		t.Errorf("after %d steps there are %d rows, and %d users", steps, rows, p.who(lobby, "", 0).Count)
	}
	p.drop(second(10), sources+1, cause{})
	for p.dropping() {
		p.tick(second(11))
	}
	if p.tick(second(20)); p.users != 0 || p.seats.end != 0 || p.dropping() {
		t.Errorf("%d users and %d seats are left", p.users, p.seats.end)
	}
}

// BenchmarkStalls says how long calls hold up others while a million users are in one place.
// Each is made once.
func BenchmarkStalls(b *testing.B) {
	m := New(Config{Node: "a", Incarnation: "a", Presence: func(domain.System) bool { return true },
		Events: func(domain.System) bool { return true }}, Now{})
	const users = 1_000_000
	for i := range users {
		m.presence.set(second(0), source(1+i%10), row{lobby, fmt.Sprint("user", i*7919%users), 1}, cause{})
	}
	longest := func(name string, call func()) {
		began := time.Now()
		call()
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, name+"-ms")
	}
	longest("who", func() { m.presence.who(lobby, "user5", 1000) })
	longest("announce", func() { m.presence.announce(second(1), cause{}) })
	m.presence.beginSnapshot(1)
	m.presence.stage(1, row{lobby, "new", 1})
	longest("unstage", func() { m.presence.unstage(1) })
	longest("drop", func() { m.presence.drop(second(1), 1, cause{}) })
	longest("tick", func() { m.presence.tick(second(1)) })
	for m.presence.dropping() {
		m.presence.tick(second(1))
	}
	m.presence.beginSnapshot(2)
	longest("snapshot", func() { m.presence.endSnapshot(second(1), 2, 0, 0, cause{}) })
}
