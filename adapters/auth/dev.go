package auth

import (
	"context"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// Dev believes everybody. It is for development, on one machine.
type Dev struct{}

// Authenticate returns a grant for the user called name, whoever asks: every
// system, every room whose name has at most seven slashes, and sending to
// the business systems and to every such target but everyone, which no glob can
// grant.
func (Dev) Authenticate(_ context.Context, name string) (domain.Grant, error) {
	if err := domain.CheckUser(name); err != nil {
		return domain.Grant{}, distrust(ReasonNoName, "say who you are with ?user=NAME (%v)", err)
	}
	return domain.Grant{User: name, Systems: []string{"*"}, Rooms: anything(), Send: append(anything(), "*/inbound")}, nil
}

// Authorize allows everything to every key, and to none.
func (Dev) Authorize(context.Context, string) (domain.Scopes, error) {
	return domain.Scopes{"*"}, nil
}

// anything is a glob for each depth, since a star stays within one part.
func anything() []string {
	globs := make([]string, 8)
	for i := range globs {
		globs[i] = "*" + strings.Repeat("/*", i+1)
	}
	return globs
}
