// Package load puts a measured load on a node: sessions that listen, and one
// publisher that keeps to a timetable.
//
//   - The latency of a message counts from when it was due, not from when it was
//     sent. So if a node stalls, this shows in the latencies of all messages that
//     were due meanwhile, as the users would feel it.
//   - The publisher has one request under way at a time, with all messages that
//     are due by then. So the order in which they must arrive is known.
//   - Every message is accounted for in each session that it is for: arrived,
//     lost, twice, out of order.
package load
