// Package history keeps the newest entries of one system and answers where a
// cursor is among them.
//
// A [History] consists of
//
//   - the window: the newest entries, numbered consecutively, from the window
//     start up to the head, and for each target the chain of its entries;
//   - what is known of the log that they came from, and of the logs that this
//     one continues: when it began anew, at which entry the bus was moved to
//     it, and which logs its entries were copied from;
//   - on a bus without a log, the fingerprints by which other nodes know the
//     same points.
//
// [History.Find] is where a cursor is judged. It returns an [Answer], which is
// a value: the entry after the cursor is in the window ([At]), the cursor is
// ahead of this node ([Ahead]), older entries must be read from the log again
// ([NeedsBacklog]), the cursor's position in this log must be looked up
// ([NeedsLookup]), or continuity cannot be proven ([Gap]). What becomes of the
// session is not decided here: package stream turns answers into effects.
//
// The window holds bytes, in chunks that are written once. An [Entry] reads them
// when it is asked, and what it returns points into them: who keeps something
// clones it. There are next to no pointers in a window, and its size is what it
// takes of the heap.
//
// The package has no lock, no sessions and no frames, and it never reads the
// time: callers pass it in. Its types are not safe for concurrent use. The
// tables in testdata show, in words, what Find answers in which situation.
package history
