package auth

import (
	"context"

	"github.com/fanfarebus/fanfare/domain"
)

// Nobody believes no one: a node with API keys alone takes no sessions.
type Nobody struct{}

// Authenticate refuses every token.
func (Nobody) Authenticate(context.Context, string) (domain.Grant, error) {
	return domain.Grant{}, conceal(ReasonNotTaken, "",
		"no tokens are taken: neither auth.jwt.secret nor auth.jwt.public_key is set")
}
