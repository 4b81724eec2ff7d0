// Package kafka carries topics over Kafka (kafka://). A topic has one
// partition, which is a log: records have offsets in one order, and delivery is
// at least once while the log is kept. It needs Kafka 3.1 or newer, which
// identifies topics in fetches.
//
// # What is on the wire
//
// An envelope is a record's value, and nothing else. Other messages have one
// header for each metadata, and the UUID in the header _watermill_message_uuid,
// as the stock watermill-kafka publisher writes them. Both read each other's.
// Read too is what anybody produces by hand: headers are the header, the value
// is the body. Keys mean nothing.
//
//	kcat -P -b localhost:9092 -t fanfare.orders -H to=user:alice <<< '{"n":1}'
//
// # Continuity
//
// A feed asks for explicit offsets of the topic with the id that it began with,
// from the leader that it began with. A topic that was created anew has another
// id, an offset that was trimmed or cut off is out of range, and a new leader
// refuses: each ends the feed, and the next one has to prove its place again.
// There it is also asked where the epoch ends in which we read last: a log that
// was cut back and has grown again ends it earlier.
//
// # Offsets without records
//
// Transactions leave marks in the log, and records that were taken back. Feeds
// read what is committed, so they skip both; nothing is lost with them. A
// transaction that stays open holds up what is behind it until it ends or the
// cluster ends it.
//
// # Topics
//
// Topics that are missing are created, unless the URL says create=false: by who
// publishes or follows first. They keep records for the retention (default 1 h)
// and somewhat longer, since Kafka drops whole segments, every five minutes.
// Topics that exist are never changed. What they are is checked (check.go):
// those that are compacted are refused, since what compaction removes nobody can
// tell; what else makes a poor bus is logged.
//
// # Time
//
// An entry's time is the broker's where the topic says LogAppendTime. Where it
// says CreateTime it is the producer's, as far as that can be true (clock.go).
//
// # Publishing
//
// Each record is sent once, so no producer id is needed. What has not been
// confirmed in time is unknown, and may still be taken by a broker that hangs
// and wakes up.
package kafka
