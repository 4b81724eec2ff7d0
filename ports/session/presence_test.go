package session_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/session/sessiontest"
)

// wanted returns what has to be counted for a session.
func (l *listener) wanted(p *plane, counts map[sessiontest.Attached]int) {
	for _, a := range l.Attachments() {
		if !a.HasPresence() {
			continue
		}
		rooms := p.Control.Rooms(l.User, a.System())
		for _, r := range a.Rooms() {
			rooms = append(rooms, r.Name())
		}
		slices.Sort(rooms)
		for _, name := range append(slices.Compact(rooms), "") {
			counts[sessiontest.Attached{Place: control.Place{System: a.System(), Room: name}, User: l.User}]++
		}
	}
}

// Whatever sessions do and however they end, what is counted is what there is.
func TestPresenceIsCountedExactly(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(all ...string) string { return all[random.IntN(len(all))] }
	for range 30 {
		p := newPlane(t, bearers{}, session.Config{SessionsPerUser: 3, Drain: time.Millisecond})
		var live []*listener
		for range 200 {
			user := pick("alice", "bob")
			switch step := random.IntN(10); {
			case step == 0:
				p.SetMember(system(pick("chat", "shop")), pick("a", "b"), user, random.IntN(2) == 0)
				p.registry.Review(user)
			case step == 1:
				if s, err := p.open(user, "systems=chat,shop&rooms=chat/a"); err == nil {
					s.End(0) // it never begins, as when the connection cannot be taken over
				}
			case step == 2:
				p.registry.Disconnect(user, control.Value{})
			case step < 5:
				if s, err := p.open(user, pick("systems=chat", "systems=chat,shop,orders&rooms=chat/a,orders/b")); err == nil {
					if random.IntN(8) == 0 {
						p.registry.Disconnect(user, control.Value{})
					}
					l := &listener{Session: s}
					s.Begin(l)
					live = append(live, l)
				}
			case len(live) > 0:
				live[random.IntN(len(live))].step(random, pick)
			}
			live = slices.DeleteFunc(live, func(l *listener) bool {
				if l.closed() && !l.ended {
					l.End(l.code)
					l.ended = true
				}
				return l.ended
			})
			want := make(map[sessiontest.Attached]int)
			for _, l := range live {
				l.wanted(p, want)
			}
			if diff := cmp.Diff(want, maps.Clone(p.Attached()), cmp.Comparer(func(a, b domain.System) bool { return a == b })); diff != "" && len(want)+len(p.Attached()) > 0 {
				t.Fatalf("counted (+) and expected (-):\n%s", diff)
			}
		}
		drained := make(chan error, 1)
		go func() { drained <- p.registry.Drain(t.Context()) }()
		for _, l := range live {
			for !l.closed() {
				<-time.After(time.Millisecond)
			}
			l.End(session.CloseGoingAway)
		}
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		if left, faults := p.Attached(), p.Faults(); len(left)+len(faults) > 0 {
			t.Fatalf("left %v, faults %v", left, faults)
		}
	}
}

// step lets the client do something.
func (l *listener) step(random *rand.Rand, pick func(...string) string) {
	a := l.Find(system(pick("chat", "shop")))
	r := room(pick("a", "b", "c"))
	switch step := random.IntN(10); {
	case step == 0:
		l.End(0)
		l.ended = true
	case step == 1:
		gone := system(pick("chat", "shop"))
		l.Keep(func(a *session.Attachment) bool { return a.System() != gone })
	case a == nil:
	case step < 5:
		a.Join(r)
	case step < 7:
		a.JoinSince(r, a.Cursor(), []byte(`{}`))
	default:
		a.Leave(r)
	}
}

// The same while everything happens at once, for the race detector.
func TestPresenceIsBalancedWhileEverythingHappensAtOnce(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{SessionsPerUser: 400})
	stop := make(chan struct{})
	var others, sessions sync.WaitGroup
	again := func(act func(*rand.Rand)) {
		random := rand.New(rand.NewPCG(rand.Uint64(), 2))
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					act(random)
				}
			}
		})
	}
	users := []string{"alice", "bob"}
	again(func(r *rand.Rand) {
		user := users[r.IntN(2)]
		p.SetMember(system("chat"), fmt.Sprint("r", r.IntN(4)), user, r.IntN(2) == 0)
		p.registry.Review(user)
	})
	again(func(r *rand.Rand) {
		c := p.Change(place("chat", "a"), []string{"eve"}, nil)
		c.Count = r.IntN(2000)
		p.registry.PresenceChanged(c)
		p.bus.mu.Lock()
		s := p.bus.streams[system("chat")]
		p.bus.mu.Unlock()
		if s != nil {
			p.bus.deliver("chat", "room:r1")
		}
	})
	again(func(r *rand.Rand) {
		p.registry.ReviewToken("t1")
		if r.IntN(50) == 0 {
			p.registry.Disconnect(users[r.IntN(2)], control.Value{})
		}
		p.registry.Stats()
	})
	for i := range 6 {
		random := rand.New(rand.NewPCG(uint64(i), rand.Uint64()))
		pick := func(all ...string) string { return all[random.IntN(len(all))] }
		sessions.Go(func() {
			for range 100 {
				s, err := p.open(pick("alice/t1", "bob/t2"), "systems=chat,shop&rooms=chat/a")
				if err != nil {
					continue
				}
				l := &listener{Session: s}
				s.Begin(l)
				for range 10 {
					l.Watch(place("chat", pick("a", "b")), pick("u", "") == "u", []byte(`{}`))
					if l.step(random, pick); l.ended {
						break
					}
				}
				if !l.ended {
					l.End(0)
				}
			}
		})
	}
	sessions.Wait()
	close(stop)
	others.Wait()
	if left, faults, watched := p.Attached(), p.Faults(), p.Watched(); len(left)+len(faults)+watched > 0 {
		t.Errorf("left %v, faults %v, %d places are watched", left, faults, watched)
	}
}
