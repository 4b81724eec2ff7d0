package session

import (
	"fmt"
	"net/http"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// Reservations bound the number of sessions. A request needs one before a session is
// made of it. The reservation is released when the session has ended, or when the
// request got none. In between, when the session begins, it is added to the registry.

// reserve makes a reservation for one session.
func (reg *Registry) reserve() error {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	switch {
	case reg.draining:
		return &Rejection{Status: http.StatusServiceUnavailable,
			Detail: "this node is draining", Retry: 1, reason: "draining"}
	case reg.reserved >= reg.cfg.Sessions:
		return fmt.Errorf("sessions: %w", domain.ErrLimit)
	}
	reg.reserved++
	return nil
}

// release gives back a reservation.
func (reg *Registry) release() {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if reg.reserved--; reg.draining && reg.reserved == 0 {
		close(reg.ended)
	}
}

// stopAdmitting turns new clients away from now on. It is idempotent.
func (reg *Registry) stopAdmitting() {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if reg.draining {
		return
	}
	if reg.draining = true; reg.reserved == 0 {
		close(reg.ended)
	}
}

// An addition is what has become of a session that begins.
type addition int

const (
	addedInTime  addition = iota // it is in the registry
	addedLate                    // likewise, but facts have changed since it was opened
	turnedAway                   // the node drains, or the session took too long to open
	disconnected                 // it was disconnected while it was opened
)

// add adds a session that begins, and notifies it if the bus is down. If its user
// now has too many sessions, the oldest of them is closed. It was opened when there had been
// so many changes. The value is that of a session that was disconnected.
func (reg *Registry) add(s *Session, changes uint64) (v control.Value, result addition) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if reg.draining {
		return v, turnedAway
	}
	if reg.changes.Load() != changes {
		v, found, unknown := reg.disconnects.since(changes, s)
		switch {
		case found:
			return v, disconnected
		case unknown:
			return v, turnedAway
		}
		result = addedLate
	}
	s.slot = len(reg.sessions)
	reg.sessions = append(reg.sessions, s)
	u := reg.ensureUser(s.User)
	u.sessions = append(u.sessions, s)
	if old := u.replaced(reg.cfg.SessionsPerUser); old != nil {
		old.conn.Close(CloseReplaced, "too many sessions of this user")
	}
	if reg.busDown {
		s.conn.Notify(BusNotice(false))
	}
	reg.lookup.add(s)
	return v, result
}

// remove undoes add. It is idempotent.
func (reg *Registry) remove(s *Session) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if s.slot < 0 {
		return
	}
	last := len(reg.sessions) - 1
	reg.sessions[s.slot] = reg.sessions[last]
	reg.sessions[s.slot].slot = s.slot
	reg.sessions[last] = nil
	reg.sessions = reg.sessions[:last]
	s.slot = -1
	reg.lookup.remove(s)
	reg.removeOfUser(s)
}
