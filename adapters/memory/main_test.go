package memory_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Watermill's suite leaves the forwarders of its own multiplied subscriber
	// behind; the subscriptions that they forward are closed and looked for.
	const multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe."
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(multiplier+"func2"),
		goleak.IgnoreAnyFunction(multiplier+"func3"))
}
