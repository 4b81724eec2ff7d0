package watermillbus_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/watermillbus"
	"github.com/fanfarebus/fanfare/test/conformance"
)

// A Transport is a Watermill Publisher and Subscriber, and so can be the bus
// below another.
func TestConformance(t *testing.T) {
	bus := memory.New(memory.Config{})
	conformance.Run(t, conformance.Harness{
		Name: "Watermill",
		Open: func(testing.TB) transport.Driver {
			node := transport.New(bus.Driver(), transport.Config{})
			return watermillbus.New(node, node, watermillbus.Config{TotalOrder: true, Group: node.Group})
		},
	})
}
