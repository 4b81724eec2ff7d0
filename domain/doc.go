// Package domain defines the words that the rest of Fanfare is written in, and
// the rules that make their values valid. It imports no broker, no socket and no
// logger.
//
// # Messages
//
// A business system publishes each [Message] once, to the topic of its [System]
// (see [Topics]), with a [Target] or more that say whom it is for. Everything
// else that sends goes through the [Publisher] interface.
//
// # Logs
//
// What a bus carries arrives as an [Entry], in the order in which the bus
// carried it. A [Position] is a place in one log, a [Location] is a position
// together with its log, and a [Cursor] is what a client holds to resume from.
// Where it cannot be proven that nothing was lost, there is a gap: an Entry of the
// kind [Gap], or a [GapError], each with a [GapReason].
//
// # Rights
//
// A [Grant] says what a session may do, and [Scopes] say what an API key may
// do. A [CredentialError] says why a token or key was refused.
//
// # Values and errors
//
// The Parse functions make values that are valid from then on. Values are safe
// for concurrent use, because they are not changed after that. Errors wrap one of
// the sentinels in this package, such as [ErrInvalid], so that callers can tell
// them apart with errors.Is.
package domain
