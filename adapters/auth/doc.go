// Package auth says who somebody is: JWT for the sessions of users, API keys
// for publishers, and Dev, which believes everybody.
//
// All of them are safe for concurrent use, do no I/O, and answer with a
// [domain.CredentialError] where a credential proves nothing. No error holds a
// token, a key or what is secret in one.
package auth

import (
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
)

// Reasons of a [domain.CredentialError], which metrics count by.
const (
	ReasonNone      = "none"      // there is no credential
	ReasonMalformed = "malformed" // it is not what a token or its header looks like
	ReasonAlgorithm = "algorithm" // no key is for the token's algorithm
	ReasonSignature = "signature" // no key made the token's signature
	ReasonClaims    = "claims"    // the token is signed, but its claims cannot be read
	ReasonExpired   = "expired"   // the token's exp has passed
	ReasonNotYet    = "not_yet"   // the token's nbf is further ahead than the leeway
	ReasonIssuer    = "issuer"    // the token is another issuer's
	ReasonAudience  = "audience"  // the token is for others
	ReasonUnknown   = "unknown"   // no entry has the API key
	ReasonNotTaken  = "not_taken" // the node takes none
	ReasonNoName    = "no_name"   // development: the client does not say who it is
)

// distrust is an error that the client may know.
func distrust(reason, format string, args ...any) error {
	detail := fmt.Sprintf(format, args...)
	return &domain.CredentialError{Reason: reason, Detail: detail, Told: detail}
}

// conceal is an error of which the client may know only what told says.
func conceal(reason, told, format string, args ...any) error {
	return &domain.CredentialError{Reason: reason, Detail: fmt.Sprintf(format, args...), Told: told}
}
