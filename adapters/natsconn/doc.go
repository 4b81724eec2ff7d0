// Package natsconn holds what the two NATS transports, [natscore] and
// [jetstream], share.
//
// # What it does
//
// A [Server] is a parsed URL: hosts, login, timeouts, TLS. Its [Client] gives out
// connections ([Conn]). A [Mailbox] is a subscription with a bounded queue, from
// which a feed reads. [Encode] and [Decode] translate between messages and NATS
// headers. A [Group] makes a Watermill subscriber of a queue group or a durable
// consumer.
//
// # Connections
//
// nats.go can reconnect by itself, subscribe again, and buffer what is published
// meanwhile. That hides which messages were lost, and reports messages as
// published that may never arrive. Reconnecting is therefore switched off: an
// interruption ends a Conn and every mailbox on it, and the next call of
// [Client.Conn] makes a new one.
//
// # Refusals
//
// A NATS server reports a permission violation as an asynchronous error of the
// connection (-ERR, see the [NATS client protocol]) and does not say which request
// it answers. [Refusals] collects these errors, so that a caller can ask whether
// what it has just sent was among them.
//
// # Failure and shutdown
//
// Errors are classified by sentinels of the domain ([Classify]). [Client.Close] and
// [Group.Close] end what is under way and wait for their goroutines.
//
// The tests of this package cover URLs and the codec; the conformance suites of
// natscore and jetstream cover the rest against a real nats-server.
//
// [natscore]: https://pkg.go.dev/github.com/fanfarebus/fanfare/adapters/natscore
// [jetstream]: https://pkg.go.dev/github.com/fanfarebus/fanfare/adapters/jetstream
// [NATS client protocol]: https://docs.nats.io/reference/reference-protocols/nats-protocol
package natsconn
