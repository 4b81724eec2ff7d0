// Package natscore carries topics over core NATS (nats://). A topic is a
// [subject]. Delivery is at most once: NATS keeps nothing, so a subscriber misses
// what is published before it has subscribed or while it is cut off.
//
// # What is on the wire
//
// A message with transport.RawKey and no other metadata is its payload, verbatim:
// so Fanfare publishes, and so does `nats pub`. Any other Watermill message has its
// UUID in the header _watermill_message_uuid and each piece of metadata in a header
// of its own, as the stock watermill-nats marshaler writes it. Headers that begin
// with "Nats-" instruct the server: they are not handed on, and not published.
//
// The payload of what Fanfare publishes begins with its publisher's sequence number,
// and a subject that has become quiet carries high-water marks, so that subscribers
// notice missing messages: see package
// [github.com/fanfarebus/fanfare/adapters/transport/sequence].
//
// # Connections
//
// A [Driver] has two: one publishes and pings, the other carries the feeds and group
// members, so that a failure of the one does not end what uses the other. They never
// reconnect (package [natsconn]): an interruption ends every feed on a connection. A
// connection on which nothing arrives is pinged, so that a connection that loses all
// bytes is noticed.
//
// # Order
//
// The messages of one publisher arrive in order. Where there are several servers,
// subscribers may see the messages of several publishers in different orders.
//
// # Failure
//
// A publish returns once the server has processed it and has not refused it. Nothing
// more can be known: core NATS confirms no single message, and a server may still lose
// one. Messages that a slow reader has not read yet wait in a bounded mailbox; when
// that is full, the feed ends.
//
// # Shutdown
//
// [Driver.Close] ends both connections, and with them the feeds. Messages that wait in
// their mailboxes are lost.
//
// conformance_test.go runs the conformance suite against a real nats-server.
//
// [subject]: https://docs.nats.io/nats-concepts/subjects
package natscore
