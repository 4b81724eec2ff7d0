// Package redispubsub carries topics over Redis pub/sub (redis://). A topic is
// a channel. Delivery is at most once: Redis keeps nothing, so whoever is not
// subscribed, or is cut off, misses what is published meanwhile. One server
// has one order, the same for every subscriber.
//
// # What is on the wire
//
// A message with transport.RawKey in its metadata is its payload, verbatim;
// that is how Fanfare publishes, and what `redis-cli PUBLISH` sends. Any other
// Watermill message is framed as one JSON object, so that its UUID and
// metadata survive:
//
//	{"_watermill_message_uuid":"…","metadata":{"k":"v"},"payload":"base64"}
//
// What Fanfare publishes begins with a stamp, "stamp":"<start>:<number>", as
// its first field, and a channel that has become quiet carries high-water
// marks, {"stamp":"<start>:<number>","mark":true}: they show subscribers when
// something was lost (see package transport). Foreign subscribers ignore the
// field and skip the marks; foreign publishers need neither.
//
// A payload that begins exactly so, and is such an object, is unwrapped when
// it is read; anything else is a body.
//
// # Interruptions
//
// A feed never subscribes twice: whatever interrupts its connection ends it.
// While nothing arrives it asks for a sign of life, so that a connection that
// swallows bytes is noticed.
//
// A feed with a connection of its own keeps no queue: what a slow reader leaves
// lying fills the socket and then the server's output buffer, until
// client-output-buffer-limit makes the server cut the connection, which ends the
// feed. Feeds that share a connection (read_connections) must not hold up each
// other, so each has a queue; one that waits for its reader too much is over.
package redispubsub
