// Package cluster runs Fanfare nodes inside a test: real ones, on a bus and a
// network in memory, with clients to ask and faults to order. It is for teams
// that test their own services and handlers.
//
//	func TestOrderIsTold(t *testing.T) {
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
// What holds:
//
//   - No ports, and no sleeping. Everything also works in a testing/synctest
//     bubble, where no real time passes; Start is called inside it then. In
//     either case a wait ends as soon as what it waits for is there.
//   - WantNothing is no guess: it sends a message through the bus to the
//     client, behind all that was published before, and looks what came first.
//   - A client sees all that its node tells it, gaps included, in order. What
//     a test did not expect fails it, with what happened to that client.
//   - What a test starts ends with it: clients, nodes, publishers and all
//     their goroutines, before the cleanups that were registered before Start.
//
// Methods may be called concurrently, but those that can fail the test (all
// that say Want, Wait or Next, and those that return no error where something
// can go wrong) are for the test's own goroutine, as testing.T's FailNow is.
package cluster
