package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

func TestZeroSettingsAreDefaultsAndNegativeOnesAreRefused(t *testing.T) {
	if err := (session.Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	err := session.Config{
		Sessions: -1, Rooms: -1, Drain: -time.Second, FailureRate: session.Rate{Messages: -1},
	}.Validate()
	if err == nil {
		t.Fatal("negative settings are accepted")
	}
	for _, want := range []string{
		"sessions: want at least 1, got -1", "rooms: want at least 1, got -1",
		"drain: must not be negative, got -1s", "failure rate: must not be negative",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
