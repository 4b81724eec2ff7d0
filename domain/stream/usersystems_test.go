package stream_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

func TestUserKeepsOnlySoManySystemsOpenAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := stream.NewHub(&source{confirm: true}, stream.HubConfig{
			Any: true, UserSystems: 3, Idle: time.Minute, Systems: []domain.System{system("fixed")}})
		take := func(user, name string) *stream.Lease {
			t.Helper()
			l, err := h.Acquire(t.Context(), user, system(name))
			if err != nil {
				t.Fatalf("%s takes %s: %v", user, name, err)
			}
			return l
		}
		refuses := func(user, name string) {
			t.Helper()
			_, err := h.Acquire(t.Context(), user, system(name))
			if !errors.Is(err, stream.ErrUserSystems) || !errors.Is(err, domain.ErrLimit) {
				t.Fatalf("%s takes %s: %v, want ErrUserSystems", user, name, err)
			}
		}
		a, b := take("alice", "a"), take("alice", "b")
		take("alice", "c")
		take("alice", "a").Release() // once more is nothing more
		refuses("alice", "d")
		take("alice", "fixed") // is open anyway
		take("bob", "d")

		// What others use is not open because of her.
		take("bob", "a")
		e := take("alice", "e")
		refuses("alice", "f")

		// What she comes back from counts until it is closed.
		b.Release()
		e.Release()
		refuses("alice", "f")
		take("alice", "e").Release()
		time.Sleep(time.Minute)
		h.Sweep()
		take("alice", "f")
		take("alice", "g")
		refuses("alice", "h")

		// Who stays behind in a system is charged for it.
		a.Release()
		take("bob", "h")
		refuses("bob", "i")
		take("carol", "i")
	})
}

// Whatever users do, nobody opens a system who has as many as he may alone, and
// nothing is charged that is closed.
func TestUserWithTooManySystemsOpensNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		rng := rand.New(rand.NewPCG(seed, 0))
		const most = 4
		src := &source{confirm: true}
		h := stream.NewHub(src, stream.HubConfig{Any: true, UserSystems: most, Idle: time.Minute})
		var leases []held
		refused := 0
		for range 5000 {
			user, name := fmt.Sprint("u", rng.IntN(3)), fmt.Sprint("s", rng.IntN(40))
			switch rng.IntN(10) {
			case 0:
				time.Sleep(time.Duration(rng.IntN(90)) * time.Second)
				h.Sweep()
			case 1, 2, 3, 4:
				if len(leases) > 0 {
					i := rng.IntN(len(leases))
					leases[i].lease.Release()
					leases = append(leases[:i], leases[i+1:]...)
				}
			case 5:
				src.err = errors.New("broken")
				if _, err := h.Acquire(t.Context(), user, system("broken")); err == nil {
					t.Fatal("no error")
				}
				src.err = nil
			default:
				before := src.opened
				l, err := h.Acquire(t.Context(), user, system(name))
				if err != nil {
					if refused++; !errors.Is(err, stream.ErrUserSystems) {
						t.Fatal(err)
					}
					continue
				}
				leases = append(leases, held{user, name, l})
				if n := alone(leases, user); src.opened > before && n > most {
					t.Fatalf("%s has opened %s, and has %d alone", user, name, n)
				}
			}
		}
		for _, l := range leases {
			l.lease.Release()
		}
		time.Sleep(time.Hour)
		h.Sweep()
		for i := range most {
			if _, err := h.Acquire(t.Context(), "u0", system(fmt.Sprint("new", i))); err != nil {
				t.Errorf("after all were closed: %v", err)
			}
		}
		if refused == 0 {
			t.Error("nothing was ever refused")
		}
	})
}

// held is a lease of a user.
type held struct {
	user, system string
	lease        *stream.Lease
}

// alone is how many systems only this user has leases on.
func alone(leases []held, user string) (n int) {
	others, his := map[string]bool{}, map[string]bool{}
	for _, l := range leases {
		if l.user == user {
			his[l.system] = true
		} else {
			others[l.system] = true
		}
	}
	for name := range his {
		if !others[name] {
			n++
		}
	}
	return n
}
