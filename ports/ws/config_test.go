package ws_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

func TestZeroSettingsAreDefaultsAndNegativeOnesAreRefused(t *testing.T) {
	if err := (ws.Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	err := ws.Config{
		MessageBytes: -1, UserRate: session.Rate{Bytes: -1}, FrameRate: -1,
		Stall: -time.Second, Ping: time.Hour,
	}.Validate()
	if err == nil {
		t.Fatal("negative settings are accepted")
	}
	for _, want := range []string{
		"message_bytes: want at least 1, got -1", "user rate: must not be negative",
		"frame and control rate: must not be negative", "stall: must not be negative, got -1s",
		"pong wait 1m0s must be longer than the ping period 1h0m0s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
