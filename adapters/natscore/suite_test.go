package natscore_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestWatermillsSuite(t *testing.T) {
	s := broker.NATS(t)
	driverkit.RunSuiteWithoutLog(t, "core NATS", "it publishes before the group subscribes; our own test has groups",
		func(t testing.TB) transport.Driver { return open(t, s.URL("nats")) })
}
