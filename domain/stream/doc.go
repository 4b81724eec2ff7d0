// Package stream is the heart of a node: one [Stream] for each system, which
// keeps the newest entries and offers them to the sessions that the node holds.
//
// # The way of an entry
//
// An entry enters by [Stream.Step]. It is put into the window (package history),
// which finds it by its targets, and offered to the live sessions of these. A
// session attaches with the cursor that it has ([Stream.Attach]);
// [history.History.Find] says where that is, and Attachment.apply turns the
// answer into what becomes of the session: it is filled from the window, waits
// for the stream to come to its cursor, rides along while the log is read again
// (a [Backfill]), waits for its position to be looked up (a [Lookup]), or is told
// a gap.
//
// In the code, a session's way has these verbs: Find answers where its cursor
// is; apply turns the answer into effects; begin sets its next entry; settle
// ends a wait for the stream, arrive a Lookup, and finish a ride; proceed is the
// last step of each wait; fill offers what the session missed, takeStored what a
// ride has in store for it.
//
// # Guarantees
//
// Each is backed by a test.
//
//   - Order: a session is offered a system's entries in the order in which they
//     entered the Stream, each at most once.
//   - The seam: Attach is atomic. What a session missed and what comes live
//     meet without loss, repetition or reordering.
//   - Coming from another node: a session continues with a cursor of the same
//     log; without a log, by the fingerprint, where this Stream has received all
//     that the cursor's node has, and would recognise a repetition of it. Else a
//     gap says that it cannot.
//   - Honest gaps: a place where continuity is not proven is an entry like any
//     other. Every session that crosses it is told.
//   - Slow sessions cost little: a session whose [Outbox] is full is offered
//     nothing until it asks with [Attachment.Fill]. It continues exactly where
//     it stopped, or is told that the window has moved past it. In a reading of
//     the log it delays nobody, and is told nothing: the log is read again.
//   - Bounds: the window is bounded by messages, bytes and age, and what was read
//     again and not taken by its budget. A resume costs what was missed, not
//     what the window holds.
//
// # What became of a message
//
// [Stream.Locate] and [Stream.Fate] derive it from places: see [Past].
//
// A Stream has no sockets, no clock and no goroutines of its own: the time comes
// from Config.Now, and everything happens in the caller's goroutine. Only
// [Hub.Acquire] waits, with a timer.
package stream
