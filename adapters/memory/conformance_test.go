package memory_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/conformance"
)

func TestConformance(t *testing.T) {
	bus := memory.New(memory.Config{})
	conformance.Run(t, conformance.Harness{
		Name:     "memory",
		Open:     func(testing.TB) transport.Driver { return bus.Driver() },
		Trim:     func(_ testing.TB, topic string, keep int) { bus.Forget(topic, keep) },
		Recreate: func(_ testing.TB, topic string) { bus.Renew(topic) },
	})
}
