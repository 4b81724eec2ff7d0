package domain

// A CredentialError says why a token or an API key was refused. It is an
// [ErrUnauthenticated].
type CredentialError struct {
	// Reason is one word from the fixed list of the package that checks the
	// credential. Metrics count by it, so it never holds anything that the
	// client sent.
	Reason string
	// Detail explains the reason to the operator, in the log. It holds no
	// secret part of the credential.
	Detail string
	// Told is what the client may be told. It is empty where an explanation
	// would help somebody who guesses credentials.
	Told string
}

func (e *CredentialError) Error() string { return e.Detail + ": " + ErrUnauthenticated.Error() }

// Unwrap makes a CredentialError an [ErrUnauthenticated].
func (e *CredentialError) Unwrap() error { return ErrUnauthenticated }
