package session

import (
	"errors"
	"net/http"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// A Control knows what all nodes have to obey, and is told who is attached to this one. It
// is safe for concurrent use and does not block for long. It is called with locks of
// sessions held, so no method may call back into the [Registry]; and whoever calls the
// Registry because a fact or a place has changed must hold no lock that a Control needs.
type Control interface {
	// Check returns a [*control.Refusal] if a user or a token is not to be let in. The
	// token is named by its jti, which may be "", and issued is zero if it does not say.
	Check(user, token string, issued time.Time) error
	// Rooms returns the rooms of a system that the user is a member of, sorted. The slice
	// is the caller's.
	Rooms(user string, system domain.System) []string
	// Attach changes the number of this node's sessions that a user has in a room of a
	// system, or in the system itself if room is "".
	Attach(system domain.System, room, user string, delta int)
	// Who returns how many users are in a place, and at most limit of them, sorted by name.
	// A page of a place that is watched has a Version, which changes are told from and to.
	Who(p control.Place, limit int) control.Page
	// Watch has [Registry.PresenceChanged] called when somebody comes to a place or leaves
	// it. Each Watch needs an Unwatch.
	Watch(p control.Place)
	Unwatch(p control.Place)
}

// noControl stands for a control plane that is off: it lets everybody in.
type noControl struct{}

func (noControl) Check(string, string, time.Time) error      { return nil }
func (noControl) Rooms(string, domain.System) []string       { return nil }
func (noControl) Attach(domain.System, string, string, int)  {}
func (noControl) Who(control.Place, int) (none control.Page) { return none }
func (noControl) Watch(control.Place)                        {}
func (noControl) Unwatch(control.Place)                      {}

// checkGranted asks the [Control] whether the user and the token may be let in.
func (reg *Registry) checkGranted(g *domain.Grant) error {
	err := reg.cfg.Control.Check(g.User, g.Token, g.Issued)
	if err == nil {
		return nil // before what errors.As needs is allocated
	}
	var refusal *control.Refusal
	switch {
	case !errors.As(err, &refusal):
		return err
	case refusal.Kind != control.Block:
		return &Rejection{Status: http.StatusUnauthorized, Detail: tokenRevoked, reason: "revoked"}
	case refusal.Reason == "":
		return &Rejection{Status: http.StatusForbidden, Detail: userBlocked, reason: "blocked"}
	default:
		return &Rejection{Status: http.StatusForbidden, reason: "blocked",
			Detail: userBlocked + ": " + refusal.Reason}
	}
}

// What clients are told about a refusal.
const (
	tokenRevoked = "the token was revoked"
	userBlocked  = "blocked"
)

// closeRefused closes the session because of what [Control.Check] said.
func (s *Session) closeRefused(err error) {
	var refusal *control.Refusal
	switch {
	case !errors.As(err, &refusal):
		s.conn.Close(CloseForbidden, "not allowed")
	case refusal.Kind != control.Block:
		s.conn.Close(CloseExpired, tokenRevoked)
	case refusal.Reason == "":
		s.conn.Close(CloseForbidden, userBlocked)
	default:
		s.conn.Close(CloseForbidden, refusal.Reason)
	}
}
