// Package redispubsub is the driver of the redis:// transport: it carries topics
// over Redis pub/sub. A topic is a channel. Delivery is at most once: Redis keeps
// nothing, so a subscriber that is not there, or is cut off, misses what is
// published in the meantime.
//
// The files read in this order: driver.go goes from [Open] to [Driver.Follow] and
// [Driver.Publish]; feed.go reads a channel on a connection of its own;
// sharedfeed.go and subscriber.go do so on a connection that feeds share; frame.go
// holds the format.
//
// # What is on the wire
//
// A message that has transport.RawKey in its metadata is published as its payload,
// unchanged. Fanfare publishes in this way, and `redis-cli PUBLISH` sends the same.
// Any other Watermill message is framed as one JSON object, so that its UUID and
// its metadata survive:
//
//	{"_watermill_message_uuid":"…","metadata":{"k":"v"},"payload":"base64"}
//
// A payload that begins exactly so, and is such an object, is unwrapped when it is
// read. Any other payload is the body of an entry.
//
// What Fanfare publishes begins with a sequence number as its first field,
// "stamp":"<start>:<number>". A channel that has become quiet carries a high-water
// mark, {"stamp":"<start>:<number>","mark":true}. With these, subscribers notice
// missing sequence numbers; package transport writes and reads them. Foreign
// subscribers can ignore both, and foreign publishers need not send them.
//
// # Connections
//
// Publishing and health checks use go-redis and its pool of connections. The first
// feeds, 16 unless the URL parameter read_connections changes that, have a
// connection each. Further feeds share connections, up to
// [redisconn.FeedsPerConn] on one.
//
// A feed with a connection of its own has no queue. What a slow reader does not
// take fills the socket and then the server's output buffer, until the server's
// client-output-buffer-limit makes it close the connection, which ends the feed.
// Feeds that share a connection must not hold up each other, so each has a queue,
// and a feed whose queue has grown too large is over.
//
// # Order
//
// A server has one order of all messages, which is the same for all subscribers. In a
// Redis Cluster each topic is subscribed to and published at the master that holds the
// hash slot of its name. Others may publish on any server, which passes the message on;
// so subscribers have each publisher's order there, and no more.
//
// # Failure
//
// A feed never subscribes again: whatever interrupts its connection ends the feed.
// Package transport then calls Follow again and reports a gap. While nothing
// arrives, a feed sends a PING, so that it notices a connection that is open but
// carries nothing. A publish is tried once; each record has its own result.
//
// # Shutdown
//
// [Driver.Close] closes the shared connections, waits for the goroutines that read
// them, and closes the client that publishes. Feeds with a connection of their own
// are closed by their owners.
//
// The conformance test in conformance_test.go shows how the driver is opened and
// what it is tested for.
package redispubsub
