package defaults_test

import (
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/internal/defaults"
)

func TestWhatWasGivenStays(t *testing.T) {
	given, zero, negative, text := 2*time.Second, time.Duration(0), -time.Second, ""
	for _, d := range []*time.Duration{&given, &zero, &negative} {
		defaults.Set(d, time.Minute)
	}
	defaults.Set(&text, "x")
	if given != 2*time.Second || zero != time.Minute || negative != time.Minute || text != "x" {
		t.Errorf("got %v, %v, %v and %q", given, zero, negative, text)
	}
}
