// Package router brings what the bus carries to the streams of a node, by means
// of the Watermill Router: one handler for each system, added and removed while
// the node runs.
//
// # Guarantees
//
//   - No broker can block the Router. Subscribe of a stream's subscription only
//     registers; a goroutine of the subscription asks the broker, again and again
//     until it confirms.
//   - Order: a subscription has one Watermill message in flight. With the batch face of
//     a transport that is the entries that one read returned; they are given
//     to [stream.Stream.Step] in their order.
//   - A message that cannot be decoded, or whose delivery panics, is counted,
//     logged (within bounds, with its position) and passed over. Handlers never
//     return an error: a nack would bring the same message back for ever, and
//     everything behind it would wait.
//   - If the Router ends other than by its context, that is fatal: Run returns
//     an error.
//   - Logs are read again for late sessions a few at a time, in turns, fairly
//     between users.
package router
