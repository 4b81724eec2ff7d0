// Package router brings what the bus carries to the streams of a node, with
// the Watermill Router: one handler per system, added and released while the
// node runs.
//
//   - Nothing that a broker does can block the Router. Its Subscribe only
//     registers; the broker is asked in a goroutine of the feed's own, until
//     it confirms.
//   - Order: a feed has one Watermill message in flight. With the batch face
//     of a transport that is what one read returned, unpacked here in order.
//   - A message that cannot be decoded, or whose delivery panics, is counted,
//     logged (rate limited, with its position) and passed over. Handlers never
//     return an error: a nack would bring the same message back for ever, with
//     everybody behind it waiting.
//   - The end of the Router, other than by its context, is fatal: Run returns
//     an error.
package router
