// Package conformance is the suite of tests that every transport must pass:
// Fanfare's own and yours. The author of a transport writes a [Harness] and calls
// [Run]:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{
//			Name: "mybus",
//			Open: func(t testing.TB) transport.Driver { return mybus.New(addr) },
//		})
//	}
//
// docs/transports.md says how to write a transport and how to prove it.
//
// # How it works
//
// The suite uses the drivers both directly and through a [transport.Transport],
// as nodes and publishers do. A case may not apply, for example because the
// transport claims no log, or because the harness has no function for the fault.
// Such a case is skipped with the reason, so that none seems to pass. At the end
// Run logs a [Report] of what the transport can and cannot do; use -v to read it.
//
// # What is checked
//
//   - Claims: the driver does what its Guarantees claim. What it does beyond them
//     is reported.
//   - FanOut, Order, TotalOrder, FirstMessage: each follower receives everything
//     that was published after Follow returned, in order and once.
//   - Faces, SlowReader: the Transport delivers single messages and batches, with
//     acks and nacks, and a subscriber that does not read holds up nobody.
//   - Content, Raw, Untouched, Poison: every message arrives as it was published,
//     or is refused. The driver neither changes nor keeps what belongs to the
//     caller. An unreadable message stops nobody.
//   - Replay, Since, Tail, Seam: a log can be read again from a position and from
//     a time, and reading continues with new entries.
//   - Stored: readers find a message where Publish says that the log has it.
//   - Back, BackTrimmed: entries are counted from the end of a log.
//   - Trim, Recreate: readers of entries that are gone are told a gap.
//   - Cut, Freeze: connections end, or swallow everything. Nothing is lost
//     silently, and no call takes longer than its context.
//   - Down, Deaf: a node soon notices that the bus is down, or that it receives
//     nothing although the bus is up.
//   - Stamps: on a bus without a log, the publishers' numbers reveal what was
//     lost.
//   - Groups: the members of a consumer group share a topic.
//   - Close, Cancel: both work in every state, twice, and while others publish.
//
// After each case, every goroutine that it started must have ended.
package conformance
