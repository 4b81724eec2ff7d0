// Package conformance is the suite that every transport must pass, Fanfare's
// own and yours. A transport's author gives it a Harness and calls Run:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{
//			Name: "mybus",
//			Open: func(t testing.TB) transport.Driver { return mybus.New(addr) },
//		})
//	}
//
// The drivers under test are used both bare and below a transport.Transport,
// as nodes and publishers use them. A case that the transport cannot undergo,
// since it claims no log for example, or since the harness has no hook for the
// fault, is skipped with the reason; none passes unseen. At the end Run logs a
// Report of what the transport truly can and cannot do: read it with -v.
//
// What is checked:
//
//   - Claims: Guarantees say what the driver does, no more; and what it does
//     beyond them is reported.
//   - FanOut, Order, TotalOrder, FirstMessage: each follower gets everything
//     that was published after Follow returned, in order, once.
//   - Faces, SlowReader: both faces of the Transport, acks, nacks, and one who
//     does not read.
//   - Content, Raw, Untouched, Poison: every message comes as it was published
//     or is refused; nothing of the caller's is changed or kept; what nobody
//     can read stops nobody.
//   - Replay, Since, Tail, Seam: a log is read again from a place and from a
//     time, and on into what is new.
//   - Trim, Recreate: what is gone is told.
//   - Cut, Freeze: connections that end, and ones that swallow everything.
//     Nothing is lost silently, and nobody waits longer than he said.
//   - Down, Deaf: a node soon knows that the bus is down, or that it hears
//     nothing though the bus is up.
//   - Stamps: without a log, numbers find what is lost.
//   - Groups: consumer groups share a topic.
//   - Close, Cancel: in every state, twice, while others publish.
//
// After each case every goroutine that it started must have ended.
package conformance
