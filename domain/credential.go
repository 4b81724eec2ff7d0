package domain

// A CredentialError says why a credential was refused. It is an [ErrUnauthenticated],
// or an [ErrForbidden] if Forbidden is set.
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
	// Forbidden says that the credential is good, and that its bearer may not come in
	// all the same: another credential of the same user would not help.
	Forbidden bool
}

func (e *CredentialError) Error() string { return e.Detail + ": " + e.Unwrap().Error() }

// Unwrap returns [ErrUnauthenticated] or [ErrForbidden].
func (e *CredentialError) Unwrap() error {
	if e.Forbidden {
		return ErrForbidden
	}
	return ErrUnauthenticated
}
