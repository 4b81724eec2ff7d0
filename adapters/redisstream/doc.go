// Package redisstream carries topics over Redis Streams (redis-streams://). A
// topic is a stream, which is a log: entries have positions, and delivery is
// at least once while the log is kept. It needs Redis 7.0 or newer, which
// counts what was ever added to a stream.
//
// # What is on the wire
//
// Messages are written as the stock watermill-redisstream publisher writes
// them: the fields _watermill_message_uuid, metadata (msgpack) and payload.
// Both read each other's. Read too is what anybody adds by hand:
//
//	XADD fanfare.orders * to user:alice type order.paid data {"n":1}
//
// Of such an entry the field data, else payload, is the body, and all others
// are the header. Without a field named to, message may be the body as well.
// What cannot be decoded is handed on as its raw fields, without a body.
//
// # Continuity
//
// Redis skips silently: reading after an entry that is gone returns the first
// one that is left, and reading after the end of a stream that began anew
// returns nothing, for ever. So every read is proven; see state.
//
// Nobody but Trim trims: it drops what is older than the retention (default
// 1 h), roughly, a whole node of the stream at a time. A Transport calls it for
// what it follows and for what it has published to.
package redisstream
