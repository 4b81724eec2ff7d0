package control

import (
	"fmt"
	"runtime"
	"testing"
)

// replica is what one node keeps of users that are spread over a number of other nodes,
// each with a row of the system and a row of a room.
func replica(users, nodes, perRoom int, prefix string) *presence {
	cfg := testConfig(testGrace)
	cfg.Rows, cfg.Events = 1<<30, nil // the journal is no part of the replica
	p := newPresence(cfg)
	for i := range users {
		src, user := source(1+i%nodes), fmt.Sprintf("%s%08d", prefix, i)
		room := Place{chat, fmt.Sprintf("room-%06d", i/perRoom)}
		p.set(second(1), src, row{Place{System: chat}, user, 1}, cause{})
		p.set(second(1), src, row{room, user, 1}, cause{})
	}
	return p
}

func heapBytes() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// bytesPer is how much memory the replica takes for each user.
func bytesPer(users, nodes, perRoom int, prefix string) int {
	before := heapBytes()
	p := replica(users, nodes, perRoom, prefix)
	size := heapBytes() - before
	runtime.KeepAlive(p)
	return size / users
}

func TestAReplicaIsSmall(t *testing.T) {
	const customer, uuid = "customer-", "01234567-89ab-cdef-0123-4567" // and 8 digits
	for _, c := range []struct {
		users, nodes, perRoom int
		prefix                string
		most                  int
	}{
		{10_000, 1, 10_000, customer, 150},
		{10_000, 3, 10_000, customer, 150},
		{100_000, 1, 100_000, customer, 150},
		{100_000, 3, 100_000, customer, 150},
		{10_000, 3, 50, customer, 150},
		{10_000, 1, 10_000, uuid, 150},
		{10_000, 3, 50, uuid, 150},
		{20_000, 1, 2, customer, 220}, // 10,000 rooms of 2
	} {
		got := bytesPer(c.users, c.nodes, c.perRoom, c.prefix)
		t.Logf("%d users %s… on %d nodes, %d in a room: %d bytes each",
			c.users, c.prefix, c.nodes, c.perRoom, got)
		if got > c.most {
			t.Errorf("want at most %d bytes", c.most)
		}
	}
}

func TestAUserOnEachNodeCostsLess(t *testing.T) {
	const users, nodes = 10_000, 3
	before := heapBytes()
	p := replica(users, 1, users, "customer-")
	for src := range source(nodes - 1) {
		for i := range users {
			user := fmt.Sprintf("customer-%08d", i)
			p.set(second(1), 2+src, row{Place{System: chat}, user, 1}, cause{})
			p.set(second(1), 2+src, row{Place{chat, "room-000000"}, user, 1}, cause{})
		}
	}
	got := (heapBytes() - before) / users / nodes
	runtime.KeepAlive(p)
	t.Logf("%d bytes for each user and node", got)
	if got > 150 {
		t.Errorf("%d bytes for each user and node", got)
	}
}

func TestEmptyPlacesAreForgotten(t *testing.T) {
	cfg := testConfig(0)
	cfg.Events = nil
	p := newPresence(cfg)
	p.set(second(0), 1, row{lobby, "alice", 1}, cause{}) // somebody stays
	before := heapBytes()
	for i := range 100_000 {
		r := row{Place{chat, fmt.Sprintf("room %d", i)}, fmt.Sprintf("user %d", i), 1}
		p.set(second(0), 1, r, cause{})
		r.n = 0
		p.set(second(0), 1, r, cause{})
	}
	if more := heapBytes() - before; more > 64<<10 {
		t.Errorf("%d bytes remain of 100,000 places", more)
	}
	is(t, p, lobby, Present{"alice", 1, 1_000_000_000_000}) // with others, her name was moved
	if p.dir.places.end > 2 || p.dir.names.end > 2 {
		t.Errorf("%d places, %d names", p.dir.places.end, p.dir.names.end)
	}
	runtime.KeepAlive(p)
}

// BenchmarkSet is one row change in a replica of 100,000 users.
func BenchmarkSet(b *testing.B) {
	const users = 100_000
	p := replica(users, 3, 50, "customer-")
	names := make([]string, users)
	for i := range names {
		names[i] = fmt.Sprintf("customer-%08d", i)
	}
	system := Place{System: chat}
	b.ReportAllocs()
	b.Run("number", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			p.set(second(1), source(1+i%users%3), row{system, names[i*7919%users], 2 + i&1}, cause{})
		}
	})
	b.Run("come and go", func(b *testing.B) {
		b.ReportAllocs()
		p.cfg.Grace = 0
		for i := 0; b.Loop(); i++ {
			r := row{Place{chat, "another"}, names[i/2*7919%users], 1 - i&1}
			p.set(second(1), source(1+i/2%users%3), r, cause{})
		}
	})
	b.Run("with grace", func(b *testing.B) {
		b.ReportAllocs()
		p.cfg.Grace = testGrace
		for i := 0; b.Loop(); i++ {
			n := i / 2
			p.tick(second(float64(n) / 1000))
			r := row{Place{chat, "third"}, names[n*7919%users], 1 - i&1}
			p.set(second(float64(n)/1000), source(1+n%users%3), r, cause{})
		}
	})
}

func BenchmarkWho(b *testing.B) {
	for _, users := range []int{1000, 100_000} {
		p := replica(users, 3, users, "customer-")
		b.Run(fmt.Sprint(users), func(b *testing.B) {
			for b.Loop() {
				p.who(Place{System: chat}, "", 100)
			}
		})
	}
}

func BenchmarkDrop(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		p := replica(100_000, 3, 50, "customer-")
		b.StartTimer()
		p.drop(second(1), 1, cause{})
		p.tick(second(60))
	}
}
