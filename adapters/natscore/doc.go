// Package natscore carries topics over core NATS (nats://). A topic is a
// subject. Delivery is at most once: NATS keeps nothing, so whoever is not
// subscribed, or is cut off, misses what is published meanwhile. One publisher's
// messages stay in order; of several publishers' messages, subscribers may see
// different orders where there are several servers.
//
// # What is on the wire
//
// A message with transport.RawKey and no other metadata is its payload,
// verbatim; that is how Fanfare publishes, and what `nats pub` sends. Any other
// Watermill message has its UUID in the header _watermill_message_uuid and each
// piece of metadata in a header of its own, as the stock watermill-nats
// marshaler writes it. Headers that begin with "Nats-" speak to the server: they
// are not handed on, and not published.
//
// What Fanfare publishes begins with a stamp, and a subject that has become
// quiet carries high-water marks, as package redispubsub describes and package
// transport explains.
//
// # Interruptions
//
// Feeds share a connection that is theirs, and which never reconnects: whatever
// interrupts it ends them all. The connection asks for a sign of life while
// nothing arrives, so that one that swallows bytes is noticed. What a slow reader
// leaves lying waits in a bounded mailbox; when that is full, the feed ends.
package natscore
