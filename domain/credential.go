package domain

// A CredentialError says why a token or a key is not believed. It is an
// ErrUnauthenticated.
type CredentialError struct {
	// Reason is one word of a few that whoever checks credentials has, so that
	// metrics can count by it. It never comes from outside.
	Reason string
	// Detail is for the operator. It holds no part of what is secret in the
	// credential.
	Detail string
	// Told is what the client may know. Empty: nothing, since it would help
	// somebody who guesses.
	Told string
}

func (e *CredentialError) Error() string { return e.Detail + ": " + ErrUnauthenticated.Error() }

// Unwrap makes a CredentialError an ErrUnauthenticated.
func (e *CredentialError) Unwrap() error { return ErrUnauthenticated }
