package memory_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestMain(m *testing.M) { driverkit.VerifyNoLeaks(m) }
