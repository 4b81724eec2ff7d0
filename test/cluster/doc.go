// Package cluster runs Fanfare nodes inside a test. The nodes are real; the bus
// and the network are in memory. The test connects clients, asks what they
// received, and causes faults. It is for teams that test their own services and
// handlers; docs/testing.md is the guide, and examples/orders an example.
//
//	func TestUserIsToldOfThePayment(t *testing.T) {
//		c := cluster.Start(t, 3)
//		alice := c.Client("alice", "orders")
//		shop := NewShop(c.Publisher())
//
//		shop.Pay(1042)
//
//		alice.Want(fanfare.Message{Type: "order.paid", Data: map[string]int{"order": 1042}})
//		alice.WantNothing()
//	}
//
// # What a test can rely on
//
//   - Nothing listens on a port, and nothing sleeps. Everything works in a
//     [testing/synctest] bubble as well, in which no real time passes; call Start
//     inside the bubble. In either case a wait ends as soon as its condition
//     holds.
//   - [Inbox.WantNothing] does not guess. It sends a message through the bus to
//     the client, after everything that was published before, and checks that
//     nothing comes before it.
//   - A client records everything that its node tells it, gaps included, in
//     order. Anything unexpected fails the test, and the failure shows what
//     happened to that client.
//   - Everything ends with the test: clients, nodes, publishers and all their
//     goroutines. It ends before the cleanups that were registered before Start
//     run.
//
// # Concurrency
//
// Methods may be called concurrently. But methods that can fail the test must be
// called from the test's own goroutine, as testing.T's FailNow must. These are
// all whose names begin with Want, Wait or Next, and those that can go wrong but
// return no error.
package cluster
