// Package jetstream carries topics over NATS JetStream (jetstream://). A topic is a
// subject, and the [stream] that takes this subject is the topic's log: entries have
// positions, and delivery is at least once while the log is kept.
//
// # What is on the wire
//
// Messages look as in package natscore: a bare payload, or UUID and metadata in headers.
// No Nats-Msg-Id is set, so the server never drops a message as a repetition of another;
// Fanfare recognises repetitions where it can compare the contents.
//
// # Streams
//
// A topic's stream is the one whose subjects match the topic. If there is none, the first
// follower or publisher creates one, unless the URL says create=false: it has the topic as
// its only subject, and drops messages that are older than the retention (default 1 h). A
// stream that exists is never changed, but it is checked (check.go). A stream that drops
// messages for other reasons than age, number and size is refused, since nothing would
// show what was lost; so is a stream that does not confirm what is published.
//
// # Connections
//
// A [Driver] has two, which never reconnect (package [natsconn]): one publishes, pings and
// asks for tails; the other carries the feeds and group members. A failure of the one does
// not end what uses the other.
//
// # Order and continuity
//
// A stream has one order, and a position is a stream sequence. JetStream skips silently:
// a consumer that is to start at a trimmed message starts later; a consumer that is to
// start behind the end of a stream that was created anew waits for ever; messages that are
// trimmed before a consumer reaches them are passed over. A feed therefore proves that
// nothing is missing:
//
//   - It has a consumer of its own, which starts at an explicit sequence and exists no
//     longer than one incarnation of the stream.
//   - It checks that none of the consumer's numbered deliveries is missing ([ADR-15]).
//   - Wherever the stream sequence jumps, it asks whether the stream still holds everything
//     from there on. A message that was deleted from the middle is no gap, since somebody
//     deleted it on purpose.
//   - The driver remembers when the newest message that it read was stored. A server whose
//     machine crashed may have lost its newest messages and reused their sequences.
//
// In a stream of several subjects the sequence of one topic jumps all the time, and a
// trimmed message may have belonged to any topic. A cursor older than the stream's first
// message is therefore refused there, even if its topic has lost nothing. Give each topic a
// stream of its own.
//
// # Publishing and failure
//
// Each record is sent once, without waiting for the answers to those before it. It counts
// as published when its own stream has confirmed it. A record whose answer does not come
// in time may still be stored.
//
// # Shutdown
//
// [Driver.Close] ends both connections. A feed that is closed deletes its consumer; if that
// fails, the server deletes the consumer after two idle minutes. The durable consumers of
// groups stay.
//
// conformance_test.go runs the conformance suite against a real nats-server.
//
// [stream]: https://docs.nats.io/nats-concepts/jetstream/streams
// [natsconn]: https://pkg.go.dev/github.com/fanfarebus/fanfare/adapters/natsconn
// [ADR-15]: https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-15.md
package jetstream
