package session

import "github.com/fanfarebus/fanfare/domain"

// A session obeys the facts that [Control] knows at each moment of its life:
//
//   - authorize asks Check, and attach asks Rooms.
//   - A fact that changes later is told by Review or ReviewToken, which find the session
//     once it is added to the registry.
//   - For what changes in between, each of them counts in Registry.changes, and a session
//     that is added compares the count with that of when it was opened: if it differs, the
//     session is reviewed.
//   - Renew reviews after the new token counts, for the same reason.
//
// A review reads the facts while it holds Session.mu and acts on them before it releases
// the lock. So of several reviews at a time the last one acts on what is true last.

// Review looks at the sessions of a user again, because a fact about the user has changed:
// it closes those that [Control.Check] refuses, and lets the others join and leave rooms
// as [Control.Rooms] says. It returns how many it has closed.
func (reg *Registry) Review(name string) (closed int) {
	var sessions []*Session
	reg.mu.Lock()
	reg.changes.Add(1)
	if u := reg.users[name]; u != nil {
		sessions = append(sessions, u.sessions...)
	}
	reg.mu.Unlock()
	return reviewAll(sessions)
}

// ReviewToken is [Registry.Review] for the sessions with a token, which its jti names.
func (reg *Registry) ReviewToken(token string) (closed int) {
	reg.mu.Lock()
	reg.changes.Add(1)
	sessions := append([]*Session(nil), reg.lookup.withToken(token, reg.sessions)...)
	reg.mu.Unlock()
	return reviewAll(sessions)
}

// reviewAll reviews sessions, and returns how many of them were closed.
func reviewAll(sessions []*Session) (closed int) {
	for _, s := range sessions {
		if !s.review() {
			closed++
		}
	}
	return closed
}

// review closes the session and returns false if it is not to be let in any more. Else it
// lets it join and leave rooms. The session must have been added to the registry.
func (s *Session) review() bool {
	grant := s.registry.grantOf(s)
	if err := s.registry.cfg.Control.Check(grant.User, grant.Token, grant.Issued); err != nil {
		s.closeRefused(err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.systems {
		a.assign(s.registry.cfg.Control.Rooms(s.User, a.System()))
	}
	s.tellRooms()
	return true
}

// grantOf returns the session's grant, for callers other than its port.
func (reg *Registry) grantOf(s *Session) domain.Grant {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return s.Grant
}

// Renew gives the session another grant of its user: see [Session.Refresh]. Like Refresh
// it is for the goroutine of the port that reads Grant.
func (s *Session) Renew(grant domain.Grant) {
	reg := s.registry
	reg.mu.Lock()
	added := s.slot >= 0
	if added {
		reg.lookup.remove(s)
	}
	s.Grant = grant
	if added {
		reg.lookup.add(s)
	}
	reg.mu.Unlock()
	s.SetExpiry(grant.Expires)
	if added {
		s.review()
	}
}
