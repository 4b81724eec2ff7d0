// Package load puts a measured load on nodes: clients that listen, and publishers
// that keep to a timetable or to a number of messages in flight.
//
//   - A client costs little: one goroutine reads all of them on Linux, and of a
//     message only the numbers that this package wrote into it are looked at. So the
//     clients are not the load that is measured.
//   - The latency of a message counts from when it was due, not from when it was
//     sent. So if a node stalls, this shows in the latencies of all messages that
//     were due meanwhile, as the users would feel it.
//   - Each publisher has one request under way at a time, and numbers its messages.
//     So the order in which they must arrive is known, and every client checks it:
//     a message that is missing, that comes again or out of order is a fault.
//
// [Run] is the entry point.
package load
