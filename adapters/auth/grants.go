package auth

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// grants remembers what an endpoint has granted, each for as long as it said. It is safe for
// concurrent use.
//
// They are held in two generations, as in [verified]: when the young one has half of the
// bytes, it becomes the old one, and the old one is forgotten. So the memory is bounded, and
// nothing has to be looked through for what has ended.
type grants struct {
	limit int // bytes of both generations

	mu         sync.Mutex
	young, old map[[sha256.Size]byte]heldGrant // guarded by mu
	size       int                             // bytes of young; guarded by mu
}

type heldGrant struct {
	domain.Grant
	until time.Time
}

func newGrants(limit int) *grants {
	return &grants{limit: limit, young: map[[sha256.Size]byte]heldGrant{}}
}

// find returns the grant, unless it has ended. Its slices are shared.
func (s *grants) find(id [sha256.Size]byte, now time.Time) (domain.Grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, generation := range []map[[sha256.Size]byte]heldGrant{s.young, s.old} {
		if h, ok := generation[id]; ok {
			if now.Before(h.until) {
				return h.Grant, true
			}
			delete(generation, id)
		}
	}
	return domain.Grant{}, false
}

// add remembers a grant until then.
func (s *grants) add(id [sha256.Size]byte, g domain.Grant, until, now time.Time) {
	const fixed = 400 // the grant itself, and an entry of a map that is half full
	size := fixed + len(g.User) + len(g.Token)
	for _, list := range [...][]string{g.Systems, g.Rooms, g.Send, g.Presence} {
		for _, text := range list {
			size += 24 + len(text)
		}
	}
	if !now.Before(until) || size > s.limit/2 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size+size > s.limit/2 {
		s.old, s.young, s.size = s.young, map[[sha256.Size]byte]heldGrant{}, 0
	}
	delete(s.old, id)
	s.young[id] = heldGrant{g, until}
	s.size += size
}
