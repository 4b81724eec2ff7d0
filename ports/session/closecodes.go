package session

// Codes with which sessions end. Those below 4000 are defined by [RFC 6455 §7.4.1]
// and its registry.
//
// [RFC 6455 §7.4.1]: https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
const (
	CloseGoingAway    = 1001 // the node drains, stops, or has too many sessions
	CloseProtocol     = 1002 // the client's frames break the rules of WebSocket
	CloseAbnormal     = 1006 // the connection ended without a close frame
	CloseNotUTF8      = 1007 // the client's text, or the reason in its close frame
	ClosePolicy       = 1008 // ten errors in a row, or too many frames
	CloseTooBig       = 1009 // what the client sent
	CloseTryLater     = 1013 // a plain client sent more than the system consumes
	CloseExpired      = 4001 // the token has expired, or was revoked
	CloseForbidden    = 4003 // the user is blocked, the new token grants nothing here, or a plain client may not send
	CloseSlow         = 4008 // the client does not read
	CloseDisconnected = 4009 // see Registry.Disconnect
	CloseReplaced     = 4010 // the user has too many sessions, and this is the oldest
)

// Codes that an application may choose for [Registry.Disconnect].
const minCustomCode, maxCustomCode = 4100, 4999

// closeReasons are words for the codes, for the log.
var closeReasons = map[int]string{
	0:                 "unknown_code", // the client made one up
	1000:              "closed_by_client",
	CloseGoingAway:    "going_away",
	CloseProtocol:     "protocol",
	1005:              "closed_by_client",
	CloseAbnormal:     "connection_lost",
	CloseNotUTF8:      "not_utf8",
	ClosePolicy:       "policy",
	CloseTooBig:       "too_big",
	CloseTryLater:     "try_later",
	CloseExpired:      "token_expired",
	CloseForbidden:    "forbidden",
	CloseSlow:         "slow",
	CloseDisconnected: "disconnected",
	CloseReplaced:     "replaced",
}

// closeReason returns a word for a code, one of a few.
func closeReason(code int) string {
	if code >= minCustomCode && code <= maxCustomCode {
		code = CloseDisconnected
	}
	if word := closeReasons[code]; word != "" {
		return word
	}
	return "other"
}
