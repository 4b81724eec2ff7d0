package stream_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// Whatever comes, is read again, and goes: in the end the budgets have nothing.
func TestBudgetsComeBackToNothing(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 30
	}
	for seed := range uint64(seeds) {
		drift(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzBudgetsComeBackToNothing(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { drift(t, seed) })
}

// A drifter does to a stream whatever a seed says.
type drifter struct {
	*logged
	*rand.Rand
	now      time.Time
	sessions []*session
	reading  *stream.Backfill
}

func drift(t *testing.T, seed uint64) {
	d := &drifter{Rand: rand.New(rand.NewPCG(seed, 0)), now: time.Now()}
	window, past := stream.NewBudget(8<<10<<d.IntN(8)), stream.NewBudget(8<<10<<d.IntN(8))
	h := stream.NewHub(quiet{}, stream.HubConfig{Any: true, AttachWait: time.Nanosecond, Idle: time.Second,
		Stream: stream.Config{Budget: window, Backlog: past, HasLog: true, Messages: 1 + d.IntN(60), MaxScan: 1 + d.IntN(200),
			DedupeSize: 1 + d.IntN(300), Now: func() time.Time { return d.now }}})
	orders, err := domain.ParseSystem("orders")
	if err != nil {
		t.Fatal(err)
	}
	lease, err := h.Acquire(t.Context(), "", orders)
	if err != nil {
		t.Fatal(err)
	}
	d.logged = &logged{fixture: &fixture{lease.Stream, t}}
	d.start(logA, pos(0), d.now)
	for range 400 {
		d.step()
	}
	if d.reading != nil {
		d.Abandon(d.reading)
	}
	for _, s := range d.sessions {
		s.Detach()
	}
	d.now = d.now.Add(time.Hour)
	d.deliver(len(d.log)+1, "the last", "user:alice")
	if past.Used() != 0 {
		t.Errorf("%d bytes of the past are left", past.Used())
	}
	if st := d.Stats(); window.Used() != st.Bytes || st.Entries != 1 {
		t.Errorf("the budget has %d bytes, the stream %d in %d entries", window.Used(), st.Bytes, st.Entries)
	}
	lease.Release()
	d.now = d.now.Add(time.Hour)
	h.Sweep()
	if window.Used() != 0 || past.Used() != 0 {
		t.Errorf("%d bytes of the window are left, and %d of the past", window.Used(), past.Used())
	}
}

func (d *drifter) step() {
	at := len(d.log) + 1
	switch d.IntN(15) {
	case 0:
		d.log = append(d.log, logEntry{at, func() *domain.Message { return nil }})
		d.poison(pos(at), d.now)
	case 1:
		d.sessions = append(d.sessions, d.attach(d.target(), "user:alice"))
	case 2, 3:
		s := d.hold(d.target(), d.cursorAt(d.IntN(at)))
		s.room = 1 << d.IntN(20)
		s.Fill()
		d.sessions = append(d.sessions, s)
	case 4:
		if n := len(d.sessions); n > 0 {
			d.sessions[d.IntN(n)].JoinSince(target(d.target()), d.cursorAt(d.IntN(at)), stream.Frame{Bytes: []byte("done")})
		}
	case 5:
		if n := len(d.sessions); n > 0 {
			i := d.IntN(n)
			d.sessions[i].Detach()
			d.sessions = append(d.sessions[:i], d.sessions[i+1:]...)
		}
	case 6:
		d.now = d.now.Add(time.Duration(d.IntN(20)) * time.Second)
		d.Sweep()
	case 7:
		d.readSome()
	case 8:
		if n := len(d.sessions); n > 0 {
			s := d.sessions[d.IntN(n)]
			s.room = d.IntN(100)
			s.Fill()
		}
	case 9:
		if d.IntN(20) == 0 {
			d.log = nil
			d.gap(domain.Lossy, logA, pos(0), d.now)
		}
	default:
		var to []string
		for range 1 + d.IntN(3) {
			to = append(to, d.target())
		}
		d.deliver(at, fmt.Sprint(d.IntN(1<<d.IntN(60))), to...)
	}
}

func (d *drifter) target() string { return fmt.Sprint("room:r", d.IntN(1<<d.IntN(12))) }

// readSome does a step of what reads the log again.
func (d *drifter) readSome() {
	b := d.reading
	if b == nil {
		d.reading, _ = d.NextBackfill()
		return
	}
	enough := d.read(b)
	switch d.reading = nil; d.IntN(6) {
	case 0:
		d.Abandon(b)
	case 1:
		d.Fail(b, domain.TooFar)
	case 2:
		d.Fail(b, domain.UnknownCursor)
	default:
		d.end(b, enough)
	}
}
