// Package auth says who somebody is: JWT for the sessions of users, API keys
// for publishers, and Dev, which believes everybody.
//
// All of them are safe for concurrent use, do no I/O, and answer with
// domain.ErrUnauthenticated where a credential proves nothing. No error holds
// a token, a key or a part of one.
package auth

import (
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
)

func unauthenticated(why string) error {
	return fmt.Errorf("%s: %w", why, domain.ErrUnauthenticated)
}
