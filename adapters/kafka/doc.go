// Package kafka carries topics over Kafka (kafka://). A topic has one partition, which
// is its log: records have offsets in one order, and delivery is at least once while the
// log is kept. It needs Kafka 3.1 or newer, which identifies topics in fetches
// (KIP-516).
//
// # What is on the wire
//
// An envelope is a record's value, and nothing else. Any other message has one header for
// each metadata, and its UUID in the header _watermill_message_uuid, as the stock
// watermill-kafka publisher writes them; each reads what the other writes. What a person
// produces by hand is read as well: the record's headers are the message's header, the
// value is its body. Keys mean nothing.
//
//	kcat -P -b localhost:9092 -t fanfare.orders -H to=user:alice <<< '{"n":1}'
//
// # Topics
//
// A missing topic is created by the first publisher or follower, unless the URL says
// create=false. It keeps records for the retention (default 1 h) and somewhat longer, since
// Kafka deletes whole segments, and looks for them every five minutes. A topic that exists
// is never changed, but its settings are checked (check.go). A topic that is compacted is
// refused, since nothing shows which records compaction removed; other settings that make a
// poor bus are logged.
//
// # Connections
//
// A [Driver] has one client for publishing and for questions about topics. Each feed and
// each group member has a client of its own, since a broker serves the requests of a
// connection one by one, and a fetch waits for records.
//
// # Order and continuity
//
// A position is the offset to go on from. A feed fetches explicit offsets, from the leader
// and of the topic id with which it began. Every change ends the feed: a topic that was
// created anew has another id, an offset that was trimmed or cut off is out of range, and a
// new leader refuses the old leader epoch (KIP-320). The next feed has to prove its
// position again. It also asks where the epoch of the last record that was read ends: a log
// that was truncated and has grown again ends it earlier.
//
// Transactions leave offsets without records in the log: markers, and records that were
// aborted (KIP-98). Feeds read what is committed and skip both, which loses nothing. An
// open transaction holds up the records behind it until it ends or the cluster ends it.
//
// # Time
//
// An entry's time is the broker's where the topic says LogAppendTime. Where the topic says
// CreateTime, it is the producer's as far as that can be true (arrival.go).
//
// # Publishing and failure
//
// Each batch is sent once, so no producer id is needed. If a batch is not confirmed in time,
// its outcome is unknown: a broker that hangs may still take it.
//
// # Shutdown
//
// [Driver.Close] closes the client that publishes. Feeds and groups are closed by their
// users; a group member commits its acks before it leaves.
//
// conformance_test.go runs the conformance suite against a fake cluster and, where there is
// one, a real broker.
//
// KIP-98, KIP-320 and KIP-516 are [Kafka Improvement Proposals].
//
// [Kafka Improvement Proposals]: https://cwiki.apache.org/confluence/display/KAFKA/Kafka+Improvement+Proposals
package kafka
