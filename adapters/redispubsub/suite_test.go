package redispubsub_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestWatermillsSuite(t *testing.T) {
	s := broker.Redis(t)
	driverkit.RunSuiteWithoutLog(t, "pub/sub", "pub/sub has none (Guarantees.Groups is false)",
		func(t testing.TB) transport.Driver { return open(t, s.URL("redis")) })
}
