// Package watermillbus makes a bus of any Watermill Publisher and Subscriber, so
// that a team whose broker Fanfare does not know can use the Pub/Sub it has.
//
// A Subscriber delivers messages and nothing else, so that is what the bus can
// promise:
//
//   - No log. Who comes back later, or to another node, gets a gap, unless the
//     node's own window holds what it missed.
//   - Fan-out is the embedder's to configure: each node's subscription must get
//     every message. A queue that nodes share would give each message to one.
//   - Order as the Subscriber delivers. The driver takes one message after the
//     other and acks each when it has taken it, so that there is at most one
//     in flight. What was taken and not yet handed to sessions, one batch at
//     most, is lost if the node dies then, as its sessions are.
//   - An interruption is noticed if the Subscriber closes its channel, or if
//     Subscribe fails: then sessions are told a gap. Many Subscribers do
//     neither: they connect again and say nothing (watermill-amqp is one). What
//     foreign publishers send meanwhile is then lost unnoticed. What Fanfare's
//     own publishers send is numbered (package transport), and a hole in the
//     numbers is a gap all the same; except of the last messages of a publisher
//     that ends.
//   - Publishing is bounded by a context though Watermill's is not. When the
//     time is over, Publish returns with the outcome unknown; the call goes on in
//     a goroutine that Close waits for, and until it ends, later messages of the
//     topic wait for it.
//
// Package test/conformance tells what a Pub/Sub truly does: run it over yours.
package watermillbus
