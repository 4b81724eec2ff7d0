package auth

import (
	"context"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Dev trusts everybody. It is for development on one machine.
type Dev struct{}

// Authenticate returns a grant for the user called name, whoever asks. It covers
// every system, every room whose name has at most seven slashes, seeing who is in these
// systems and rooms, and sending to business systems and to every target whose name has
// at most seven slashes. It does not cover sending to [domain.Everyone], which no glob can
// grant. It counts as issued now: users whose tokens are revoked can come back at once, as
// they could with a new token.
func (Dev) Authenticate(_ context.Context, name string) (domain.Grant, error) {
	if err := domain.CheckUser(name); err != nil {
		return domain.Grant{}, distrust(ReasonNoName, "say who you are with ?user=NAME (%v)", err)
	}
	return domain.Grant{
		User:     name,
		Systems:  []string{"*"},
		Rooms:    anything(),
		Send:     append(anything(), "*/inbound"),
		Presence: anything(),
		Issued:   time.Now(),
	}, nil
}

// Authorize allows everything, whatever the key is.
func (Dev) Authorize(context.Context, string) (domain.Scopes, error) {
	return domain.Scopes{"*"}, nil
}

// anything returns a glob for each number of slashes, since a star matches no
// slash.
func anything() []string {
	globs := make([]string, 8)
	for i := range globs {
		globs[i] = "*" + strings.Repeat("/*", i+1)
	}
	return globs
}
