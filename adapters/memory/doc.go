// Package memory is the memory:// transport: one ordered log for each topic, in
// this process. It is for single nodes, for development and for tests.
//
// # Guarantees
//
// It promises what a broker with a log does. Every follower sees the same order.
// A follower that was interrupted can continue where it stopped. A follower that
// fell behind what the log keeps is told a gap.
//
// # Limits
//
// A publisher never waits for a reader. A topic never keeps more than its
// [Config] allows: the oldest entries are dropped first.
//
// [New] makes a [Bus], which the nodes of a test can share, and [Open] makes one
// from a URL. The package example shows both ends.
package memory
