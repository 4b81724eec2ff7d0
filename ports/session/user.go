package session

import (
	"net/http"
	"slices"
	"time"
)

// A user is what the sessions of one user on this node share.
type user struct {
	sessions []*Session // oldest first; guarded by Registry.mu
	going    int        // how many of them were asked to go; guarded by Registry.mu
	meter    *Meter     // of what they send; nil until one sends; guarded by Registry.mu
	opens    Bucket     // of the sessions opened; guarded by Registry.mu
}

// ensureUser returns the user of a name, and makes one if there is none. The caller
// holds Registry.mu.
func (reg *Registry) ensureUser(name string) *user {
	u := reg.users[name]
	if u == nil {
		u = &user{}
		reg.users[name] = u
	}
	return u
}

// countOpen counts a session that the user opens, and rejects it if there were too
// many of late. Each costs a search in the window, and a hello.
func (reg *Registry) countOpen(name string) error {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if !reg.ensureUser(name).opens.Take(reg.now(), reg.openRate(), 2*time.Second) {
		return &Rejection{
			Status: http.StatusTooManyRequests, Retry: retryLater, reason: "user_sessions",
			Detail: "too many new sessions of this user",
		}
	}
	return nil
}

// openRate is how many sessions a user may open in a second: as many as may be
// open, so that all of them can come back together.
func (reg *Registry) openRate() float64 { return max(float64(reg.cfg.SessionsPerUser), 8) }

// userMeter returns the meter that the sessions of a user share. The first caller
// decides its rate. It is nil if the user has no sessions any more and is
// forgotten.
func (reg *Registry) userMeter(name string, rate Rate, largest int) *Meter {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	u := reg.users[name]
	if u == nil {
		return nil
	}
	if u.meter == nil {
		u.meter = NewMeter(rate, largest)
	}
	return u.meter
}

// removeOfUser removes a session from its user's. It also forgets the user, if
// nothing has to be remembered, or if there are many more users than there may be
// sessions. The caller holds Registry.mu.
func (reg *Registry) removeOfUser(s *Session) {
	u := reg.users[s.User]
	for i, other := range u.sessions {
		if other == s {
			u.sessions = slices.Delete(u.sessions, i, i+1) // which keeps no ended one alive
			if s.going {
				u.going--
				reg.goingNow--
			}
			break
		}
	}
	crowded := len(u.sessions) == 0 && len(reg.users) > 2*reg.cfg.Sessions
	if crowded || u.idle(reg.now(), reg.openRate()) {
		delete(reg.users, s.User)
	}
}

// replaced returns the session that has to end because the user has more than limit; nil if
// there is none. Sessions that were asked to go do not count: their clients are about to
// let them go. The caller holds Registry.mu.
func (u *user) replaced(limit int) *Session {
	over := len(u.sessions) - u.going - limit // of these, all but the last one were closed before
	for _, s := range u.sessions {
		if s.going {
			continue
		}
		if over--; over == 0 {
			return s
		}
	}
	return nil
}

// forgetUsers forgets the users of whom nothing has to be remembered.
func (reg *Registry) forgetUsers(now time.Time) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	for name, u := range reg.users {
		if u.idle(now, reg.openRate()) {
			delete(reg.users, name)
		}
	}
}

// idle reports whether nothing has to be remembered of the user: there are no
// sessions, and what was sent and opened does not count any more. The caller holds
// Registry.mu.
func (u *user) idle(now time.Time, openRate float64) bool {
	return len(u.sessions) == 0 && u.meter.full(now) && u.opens.idle(now, openRate)
}
