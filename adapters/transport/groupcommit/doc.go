// Package groupcommit lets concurrent publishes share one round trip to a broker.
//
// Of the calls to [Pipeline.Publish] at the same time, one leads: it sends what all
// of them have queued, while the calls that come meanwhile queue for the next
// commit. When the leader is done, it appoints one of these to lead and returns.
// So a broker that takes a millisecond serves thousands of callers a second without
// any of them waiting much longer than two round trips. A Pipeline has no goroutine
// of its own, and nobody waits on purpose for others to join.
//
// # Guarantees
//
//   - Order: records are sent in the order in which their calls have queued them;
//     those of one call stay in order.
//   - Outcome: each call learns what became of its own records ([Outcome]): how
//     many were taken, counted from the first, and whether it is certain that the
//     rest was not.
//   - Bounds: a call ends with its deadline or its context. At most MaxQueue records
//     wait; beyond that a call fails at once. At most 512 records make one commit,
//     and a longer call is split into several.
//   - Attempts: each record is sent once. Whoever wants to try again publishes
//     again.
//
// A record is of any type. The errors are those of package domain. See the example
// of [Pipeline], and pipeline_test.go for the guarantees.
package groupcommit
