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

func TestNegativesStayWhereTheyAreMistakes(t *testing.T) {
	given, zero, negative := 2, 0, -2
	for _, n := range []*int{&given, &zero, &negative} {
		defaults.SetZero(n, 7)
	}
	if given != 2 || zero != 7 || negative != -2 {
		t.Errorf("got %d, %d and %d", given, zero, negative)
	}
}
