// Package control knows which nodes there are, who is attached to them, and what all of
// them have to obey. It is what a node makes of the control topic: one topic on the bus
// beside those of the systems, which all nodes read and write.
//
// A [Machine] is the node's part in it. It is a state machine without a clock, a socket,
// a lock or a goroutine: its caller tells it the time, gives it what the topic brought
// ([Machine.Receive]) and publishes what it has to say ([Machine.Flush]). The same calls
// in the same order have the same results, so that a simulator can run many machines.
//
// # Two mechanisms
//
// Node state has one writer: each node tells how it is (a heartbeat) and who is attached
// to it (rows: how many sessions a user has in a [Place]). Others keep a replica for each
// node. What a node says is numbered; a replica that misses a number asks for all rows
// again, and the node answers with a snapshot. A node that was silent for
// Config.DeadAfter, while this one could hear the bus, is dead, and its rows are gone.
//
// Facts are a map that all nodes share, in which the last writer wins: who is blocked,
// which tokens are revoked, who is a member of a room, who was disconnected. Each [Fact]
// has an end. Every heartbeat has a digest of the facts; nodes whose digests differ
// exchange what differs.
//
// Because each part has one writer or a total order of versions, no order between nodes
// is needed: the package is right on a log and on a bus that loses, repeats and delays.
package control
