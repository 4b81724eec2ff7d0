package sse_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/ports/sse"
)

func TestZeroSettingsAreDefaultsAndNegativeOnesAreRefused(t *testing.T) {
	if err := (sse.Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	err := sse.Config{OutboxFrames: -1, Heartbeat: -time.Second}.Validate()
	if err == nil {
		t.Fatal("negative settings are accepted")
	}
	for _, want := range []string{
		"outbox_frames: want at least 1, got -1", "heartbeat: must not be negative, got -1s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
