package session

import (
	"net/http"
	"slices"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// MayRead returns who the client of a request is, and which targets' messages of a system it
// may read: those that a session of it could be given. These are the user's own, those for
// everyone, and those of rooms that the client may join or that the server side has put the
// user into. Messages for sessions are for these sessions alone.
//
// The client is known as when it opens a session. An error is to be given to
// [Registry.Reject].
func (reg *Registry) MayRead(
	r *http.Request, system domain.System,
) (asker stream.Asker, may func(domain.Target) bool, err error) {
	if err := reg.checkOrigin(r); err != nil {
		return asker, nil, err
	}
	from := reg.caller(r)
	if from.unnamed != "" {
		reg.recordUnnamed(r, from)
	}
	c := &connectRequest{identity: reg.identity.Load()}
	if err := reg.identify(r, &from, "", c.identity, &c.grant); err != nil {
		return asker, nil, c.explainToken(err, r, "")
	}
	grant := &c.grant
	err = reg.checkGranted(grant)
	query := r.URL.Query()
	switch {
	case err != nil:
	case query.Has("user") && reg.cfg.Tokenless == nil && query.Get("user") != grant.User:
		err = Rejected(http.StatusUnprocessableEntity,
			"user: only a node in development takes that; here the token says who you are, somebody else")
	case query.Has("token") && !c.identity.readsQuery() && reg.cfg.Tokenless == nil:
		err = Rejected(http.StatusUnprocessableEntity, "token: %s", queryTokenOff)
	case !grant.MayAttach(system):
		err = Rejected(http.StatusForbidden, "system %s is not granted", system)
	}
	if err != nil {
		return asker, nil, asRejection(err).toUser(grant.User)
	}
	may = func(t domain.Target) bool {
		switch t.Kind() {
		case domain.KindAll:
			return true
		case domain.KindUser:
			return t.Name() == grant.User
		case domain.KindRoom:
			return grant.MayJoin(system, t.Name()) ||
				slices.Contains(reg.cfg.Control.Rooms(grant.User, system), t.Name())
		}
		return false
	}
	return askerOf(grant.User, from.addr), may, nil
}
