package cluster_test

import (
	"fmt"
	"slices"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/cluster"
)

// Alice has a device on each of two nodes. One node crashes, and its device receives
// what is published in the meantime on another node.
func ExampleStart() {
	t := &standIn{} // a test would use its *testing.T
	defer t.end()

	c := cluster.Start(t, 3)
	phone := c.Node(0).Client("alice", "orders")
	laptop := c.Client("alice", "orders")
	c.Publish("orders", fanfare.Message{To: []string{"user:alice"}, Type: "order.paid", Data: map[string]int{"order": 1}})
	for _, device := range []*cluster.Client{phone, laptop} {
		m := device.Next()
		fmt.Printf("%s hears %s %s\n", device.Name(), m.Type, m.Data)
	}

	laptop.Node().Crash()
	c.Publish("orders", fanfare.Message{To: []string{"user:alice"}, Type: "order.sent", Data: map[string]int{"order": 1}})
	laptop.Want(fanfare.Message{Type: "order.sent"})
	laptop.WantNothing()
	fmt.Println("nothing is missing")
	// Output:
	// alice hears order.paid {"order":1}
	// alice#2 hears order.paid {"order":1}
	// nothing is missing
}

// A standIn takes the place of a *testing.T in an example.
type standIn struct{ cleanups []func() }

func (*standIn) Helper()                           {}
func (*standIn) Failed() bool                      { return false }
func (*standIn) Logf(format string, args ...any)   { fmt.Printf(format+"\n", args...) }
func (*standIn) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *standIn) Cleanup(f func())                { t.cleanups = append(t.cleanups, f) }

func (t *standIn) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}
