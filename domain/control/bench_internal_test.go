package control

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

func benchMachine(change ...func(*Config)) (*Machine, Now) {
	now := Now{Mono: time.Minute, Wall: 1_800_000_000_000}
	cfg := Config{Node: "me", Incarnation: "01ME", Presence: func(domain.System) bool { return true }}
	for _, c := range change {
		c(&cfg)
	}
	return New(cfg, now), now
}

func BenchmarkReceiveBeat(b *testing.B) {
	m, now := benchMachine()
	msg := &message{node: "other", inc: "01OTHER", at: now.Wall, beat: everything().beat}
	msg.beat.facts, msg.beat.rows = digest{}, digest{}
	var text []byte
	b.ReportAllocs()
	for b.Loop() {
		msg.seq++
		text = msg.append(text[:0])
		if err := m.Receive(now, text, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReceive500Rows(b *testing.B) {
	m, now := benchMachine()
	msg := &message{node: "other", inc: "01OTHER", at: now.Wall}
	lobby := Place{mustSystem("chat"), "lobby"}
	for i := range 500 {
		msg.rows = append(msg.rows, row{lobby, fmt.Sprintf("user-%08d", i), 0})
	}
	var text []byte
	b.ReportAllocs()
	for b.Loop() {
		msg.seq++
		for i := range msg.rows {
			msg.rows[i].n = int(msg.seq % 2)
		}
		text = msg.append(text[:0])
		if err := m.Receive(now, text, false); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPut makes facts of 10,000 users, and has them published.
func BenchmarkPut(b *testing.B) {
	m, now := benchMachine()
	keys := make([]Key, 10_000)
	for i := range keys {
		keys[i] = Key{Kind: Block, Name: fmt.Sprintf("user-%08d", i)}
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		id, err := m.Put(now, keys[i%len(keys)], Value{}, time.Hour, false)
		if err != nil {
			b.Fatal(err)
		}
		m.Forget(id)
		if i++; i%100 == 0 {
			m.Flush(now)
			m.Published(now, true)
			m.Effects()
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, facts := range []int{0, 100_000} {
		b.Run(fmt.Sprint(facts, " facts"), func(b *testing.B) {
			m, now := benchMachine()
			for i := range facts {
				kind := []Kind{Block, RevokeToken, RevokeUser}[i%3]
				id, err := m.Put(now, Key{Kind: kind, Name: fmt.Sprintf("user-%08d", i)}, Value{}, time.Hour, false)
				if err != nil {
					b.Fatal(err)
				}
				m.Forget(id)
			}
			issued := time.UnixMilli(now.Wall)
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Check("alice-in-chains", "01JCXYZ0000000000000000000", issued); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTick is what a node does every 100 ms with many facts and nodes.
func BenchmarkTick(b *testing.B) {
	m, now := benchMachine()
	for i := range 100_000 {
		id, err := m.Put(now, Key{Kind: Block, Name: fmt.Sprintf("user-%08d", i)}, Value{}, 300*time.Hour, false)
		if errors.Is(err, domain.ErrLimit) {
			b.Fatal(err)
		}
		m.Forget(id)
	}
	for i := range 100 {
		msg := &message{node: fmt.Sprint("n", i), inc: fmt.Sprint("01N", i), seq: 1, at: now.Wall, beat: &beat{}}
		if err := m.Receive(now, msg.append(nil), false); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		now.Mono += 100 * time.Microsecond
		m.Tick(now)
	}
}
