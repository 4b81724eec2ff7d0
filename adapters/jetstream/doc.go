// Package jetstream carries topics over NATS JetStream (jetstream://). A topic
// is a subject, and the stream that takes it is its log: entries have positions,
// and delivery is at least once while the log is kept.
//
// # What is on the wire
//
// It is what package natscore carries: bare payloads, or the UUID and metadata
// in headers. No Nats-Msg-Id is set, so the server never takes a message for a
// repetition of another: what is one is decided where content can be compared.
//
// # Streams
//
// A topic's stream is the one whose subjects match it. If there is none, one is
// created when somebody follows or publishes, unless the URL says create=false:
// it has the topic as its only subject and drops what is older than the
// retention (default 1 h). A stream that exists is never changed. What it is is
// checked (check.go): streams whose messages go for other reasons than age, number
// and size cannot prove what they lost, and are refused, as are those that do not
// confirm what is published.
//
// # Continuity
//
// JetStream skips silently: a consumer that is to start at what was trimmed
// starts later, one that is to start behind the end of a stream that began anew
// waits for ever, and messages that go while a consumer is on its way to them are
// passed over. So a feed has a consumer of its own, which starts at an explicit
// sequence and lives and dies with one incarnation of a stream; its deliveries
// are counted; and wherever the stream's sequence has a hole, the stream is
// asked whether it still holds everything from there on. A message that
// somebody deleted from the middle is no gap: it is gone on purpose. And
// a driver remembers when the message was stored that it read last: a server
// whose machine crashed may have lost its newest messages and given their
// sequences to others.
//
// In a stream of several subjects holes are the rule, and what was trimmed may
// have been anybody's: a cursor older than the stream's first message is refused
// there, even if its topic lost nothing. Give each topic a stream of its own.
package jetstream
