// Package watermillbus makes a bus of any [Watermill] Publisher and Subscriber.
// With it, a team can use a broker for which Fanfare has no driver.
//
// # What the bus promises
//
// A Watermill Subscriber delivers messages and nothing else. That limits what
// this bus can promise:
//
//   - There is no log. A client that comes back later, or to another node, is
//     told a gap, unless the node's own window holds what the client missed.
//   - Fan-out is for the embedder to configure. The subscription of each node
//     must receive every message. If nodes share a queue, each message goes to
//     only one of them.
//   - The order is the one in which the Subscriber delivers. The driver takes one
//     message after the other and acks each as soon as it has taken it. If the
//     node dies, it loses the messages that it has taken and not yet given to
//     sessions, at most one batch. Its sessions are lost with it.
//   - Publish is bounded by its context, although Watermill's Publish is not. If
//     the context ends first, Publish returns with the outcome unknown. The call
//     continues in a goroutine that Close waits for. Until it ends, later messages
//     of the topic wait for it.
//
// # Interruptions
//
// An interruption is noticed if the Subscriber closes its channel or if Subscribe
// fails. Sessions are then told a gap. Many Subscribers do neither: they
// reconnect silently, as watermill-amqp does. What other programs publish in the
// meantime is then lost unnoticed. Messages from Fanfare's own publishers are
// numbered, and a missing sequence causes a gap. Only the last messages of a
// publisher that stops can be lost unnoticed.
//
// # Testing a Pub/Sub
//
// Package test/conformance finds out whether a Pub/Sub keeps what its [Config]
// claims; examples/ownbus shows how to run it.
//
// [Watermill]: https://watermill.io
package watermillbus
