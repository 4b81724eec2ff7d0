// Package receipt says what became of messages that want receipts: of each session that one
// was for, whether it was written to the client's connection, whether the client has said
// that it has handled it, or why not.
//
// Nothing is recorded for a message. Each node knows from where to where its sessions were
// given what was for them (package session, as a [control.Mark]), so it can say of every
// message what became of it. A [Desk] asks all live nodes, and adds what is known of nodes
// that have died: their marks, which come once a second on the control topic.
//
// # What is certain
//
// "acked" says that the client's acknowledgement came for this very message or a later one
// that the same session was given. "written" says that the message was handed to the
// connection; the client may not have got it. "no_session" is only said if all live nodes
// have answered, and none has died before it can have told; else the state is "unknown".
package receipt
