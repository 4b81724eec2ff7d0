// Package load puts a measured load on a node: sessions that listen, and one
// publisher that keeps to a timetable.
//
//   - A message's latency counts from when it was due, not from when it was
//     sent. A node that stalls therefore shows in the latencies of all that was
//     due meanwhile, as its users would feel it.
//   - The publisher has one request under way, with all that is due by then, so
//     the order in which messages must arrive is known.
//   - Every message is accounted for in each session that it is for: arrived,
//     lost, twice, out of order.
package load
