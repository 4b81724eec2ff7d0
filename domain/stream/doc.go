// Package stream is the heart of a node: one Stream per system, which keeps
// the newest entries in a window and brings them to the sessions it holds.
//
// What a Stream guarantees, each backed by a test:
//
//   - Order: a session is offered a system's entries in the order in which
//     they were delivered to the Stream, each at most once.
//   - The seam: Attach is atomic. What a session missed and what comes live
//     meet without loss, repetition or reordering.
//   - Coming from another node: with a cursor of the same log; without a log, by
//     the landmark, where this Stream has heard all that the cursor's has, and
//     would recognise a repetition of it. Else a gap says that it cannot.
//   - Honest gaps: a place where continuity is not proven is an entry like any
//     other. Every session that crosses it is told.
//   - Slow sessions cost a place: one whose Outbox is full is offered nothing
//     until it asks with Fill, and goes on exactly where it stopped, or is
//     told that the window has moved past it.
//   - Bounds: the window is bounded by messages, bytes and age; a resume costs
//     what was missed, not what the window holds.
//
// The package has no sockets, no clock and no goroutines of its own: time
// comes from Config.Now, and everything happens in the caller's goroutine.
package stream
