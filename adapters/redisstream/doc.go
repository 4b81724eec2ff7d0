// Package redisstream is the driver of the redis-streams:// transport: it carries
// topics over Redis Streams. A topic is one stream. A stream is a log: its entries
// have positions, and they are delivered at least once for as long as the log
// keeps them. The driver needs Redis 7.0 or newer, because older servers do not
// count the entries that were ever added to a stream.
//
// The files read in this order: driver.go goes from [Open] to [Driver.Follow] and
// [Driver.Publish]; start.go finds the entry after which a feed begins; feed.go
// reads; continuity.go proves that a read has left nothing out.
//
// # What is on the wire
//
// [Driver.Publish] writes what the stock publisher of watermill-redisstream writes:
// the fields _watermill_message_uuid, metadata (a map in msgpack) and payload. The
// stock subscriber can read what this driver writes, and the other way round.
// Entries that anybody adds by hand are read as well:
//
//	XADD fanfare.orders * to user:alice type order.paid data {"n":1}
//
// The body of such an entry is the field data, or payload if there is no data. All
// other fields form the header. An entry without a field named to may also have its
// body in the field message. An entry that cannot be decoded is delivered with its
// fields in the header and without a body.
//
// # Connections
//
// Publishing, trimming and health checks use go-redis and its pool of connections.
// The first feeds, 16 unless the URL parameter read_connections changes that, have
// a connection each. Further feeds share connections, up to
// [redisconn.FeedsPerConn] on one. On a connection of its own, a feed requests the
// next batch before it returns a large one. On a shared connection, one
// goroutine reads the streams of all feeds and puts what it has read into their
// queues; a feed whose queue is full is left out until its reader has caught up.
//
// # Order
//
// A stream has one order, which is the same for all readers. The entry ids, which
// only grow, are the positions.
//
// # Continuity
//
// Redis does not say when a reader has missed entries. A read after an entry that
// was trimmed returns the oldest entry that is left. A read after the end of a
// stream that was deleted and created anew returns nothing, however long it waits.
// Therefore a feed proves for every read that nothing was left out. Where it cannot,
// Read returns a [transport.GapError], and the feed is over. See the method prove in
// continuity.go for the rules.
//
// # Clusters
//
// In a Redis Cluster each topic is at one master. A replica that takes over may lack
// entries that its master had confirmed, so the topic becomes another log then: see
// lineage.go. Streams on shared connections are read when they have changed: see
// changes.go.
//
// # Failure
//
// Every error ends a feed: a closed connection, a server that does not reply in
// time, an error reply. Package transport then calls Follow again with the last
// position. A publish is tried once; each record has its own result.
//
// # Trimming
//
// Streams grow until somebody trims them. [Driver.Trim] removes entries that are
// older than the retention (one hour by default); package transport calls it for
// the topics that it follows or publishes to. [Driver.TrimConsumed] does the same
// for inbound topics, and also removes what all consumer groups have acked. Nothing
// else in Fanfare removes entries.
//
// # Shutdown
//
// [Driver.Close] closes the shared connections, waits for the goroutines that read
// them, and closes the client that publishes. Feeds with a connection of their own
// and consumer groups are closed by their owners.
//
// The conformance test in conformance_test.go shows how the driver is opened and
// what it is tested for.
package redisstream
