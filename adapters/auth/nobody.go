package auth

import (
	"context"

	"github.com/fanfarebus/fanfare/domain"
)

// Nobody refuses every token. It is for nodes that are configured with API keys
// only, and so accept no sessions.
type Nobody struct{}

// Authenticate refuses every token.
func (Nobody) Authenticate(context.Context, string) (domain.Grant, error) {
	return domain.Grant{}, conceal(ReasonNotTaken, "",
		"no tokens are taken: none of auth.jwt.secret, auth.jwt.public_key, auth.jwt.jwks_url "+
			"and auth.jwt.discovery is set")
}
