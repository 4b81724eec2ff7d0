// Package auth checks credentials. [JWT] checks the tokens of users' sessions
// and [Keys] checks the API keys of publishers. [Callback] asks the application
// who a client is. [Dev] trusts everybody and [Nobody] refuses every token.
//
// All of them are safe for concurrent use and do no I/O, except for a Callback, and for a
// JWT that fetches its issuer's keys, which [JWT.Run] does. If a credential is refused,
// the error is a [domain.CredentialError]. No error holds a token, a key or a secret part
// of one.
//
// The example of [JWT.Mint] shows how tokens are made and checked.
package auth

import (
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
)

// The reasons of a [domain.CredentialError]. Metrics count by them.
const (
	ReasonNone      = "none"        // there is no credential
	ReasonMalformed = "malformed"   // it does not have the form of a token
	ReasonAlgorithm = "algorithm"   // no configured key is for the token's algorithm
	ReasonKey       = "unknown_key" // the issuer's set has no key of the name in the token
	ReasonSignature = "signature"   // the token was not signed with a configured key
	ReasonClaims    = "claims"      // the token is signed, but its claims cannot be read
	ReasonExpired   = "expired"     // the token's exp has passed
	ReasonNotYet    = "not_yet"     // the token's nbf is further ahead than the leeway
	ReasonIssuer    = "issuer"      // the token is from another issuer
	ReasonAudience  = "audience"    // the token is for another audience
	ReasonUnknown   = "unknown"     // the API key is not configured
	ReasonNotTaken  = "not_taken"   // the node is not configured to accept tokens
	ReasonNoName    = "no_name"     // in development: the client does not say who it is
)

// distrust returns an error that the client may see in full.
func distrust(reason, format string, args ...any) error {
	detail := fmt.Sprintf(format, args...)
	return &domain.CredentialError{Reason: reason, Detail: detail, Told: detail}
}

// conceal returns an error of which the client may see only what told says.
func conceal(reason, told, format string, args ...any) error {
	return &domain.CredentialError{Reason: reason, Detail: fmt.Sprintf(format, args...), Told: told}
}
