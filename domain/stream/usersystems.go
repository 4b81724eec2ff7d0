package stream

import (
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
)

// ErrUserSystems says that a user has too many systems open that nobody else
// uses. It is a [domain.ErrLimit].
var ErrUserSystems = fmt.Errorf("too many systems of one user: %w", domain.ErrLimit)

// Each stream that is open because sessions attach to it is charged to one user:
// the one who opened it; when that user has left it, another one who uses it;
// and while nobody does, the one who used it last. So the streams of a user who
// comes and goes count until they are closed.

// charge notes that a user takes a lease on a slot, or returns why the user may
// not. The caller holds mu.
func (h *Hub) charge(sl *slot, user string) error {
	if user == "" || h.always[sl.stream.system] {
		return nil
	}
	if sl.users[sl.owner] == 0 && sl.owner != user {
		// Others may have left the user with more than one may open.
		for h.owned[user] >= h.cfg.UserSystems {
			if !h.shed(user) {
				return fmt.Errorf("system %s: %w: at most %d",
					sl.stream.system, ErrUserSystems, h.cfg.UserSystems)
			}
		}
		h.own(sl, user)
	}
	if sl.users == nil {
		sl.users = make(map[string]int, 1)
	}
	sl.users[user]++
	return nil
}

// discharge notes that a lease of the user's has ended. The caller holds mu.
func (h *Hub) discharge(sl *slot, user string) {
	if sl.users[user] == 0 {
		return // the lease was not charged
	}
	if sl.users[user]--; sl.users[user] > 0 {
		return
	}
	delete(sl.users, user)
	if user != sl.owner {
		return
	}
	for other := range sl.users {
		h.own(sl, other)
		return
	}
}

// own charges a slot to a user; with "", to nobody. The caller holds mu.
func (h *Hub) own(sl *slot, user string) {
	if sl.owner != "" {
		if h.owned[sl.owner]--; h.owned[sl.owner] == 0 {
			delete(h.owned, sl.owner)
		}
	}
	if sl.owner = user; user != "" {
		h.owned[user]++
	}
}

// shed charges one of the user's slots to another user of it, one who is below
// the limit. It returns false if there is none. The caller holds mu.
func (h *Hub) shed(user string) bool {
	for _, sl := range h.slots {
		if sl.owner != user || len(sl.users) == 0 {
			continue
		}
		for other := range sl.users {
			if other != user && h.owned[other] < h.cfg.UserSystems {
				h.own(sl, other)
				return true
			}
		}
	}
	return false
}
