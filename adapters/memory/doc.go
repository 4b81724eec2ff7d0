// Package memory is the memory:// transport: an ordered log per topic, in this
// process. It is Fanfare's transport for one node, for development and for
// tests, and it promises all that a broker with a log does: every follower sees
// one order, a follower that was interrupted goes on where it stopped, and one
// that trimming overtook is told so.
//
// A publisher never waits for a reader, and a topic never keeps more than its
// Config allows: what is too old or too much is dropped from the front.
package memory
