package router

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill"

	"github.com/fanfarebus/fanfare/domain"
)

func TestEndOfTheWatermillRouterIsFatal(t *testing.T) {
	topics, err := domain.ParseTopics("{system}")
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(silence{}, topics, Config{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- r.Run(t.Context()) }()
	<-r.wm.Running()
	if err := r.wm.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("Run returned nil though its context goes on")
	}
}

// Traces are dropped early, and only if nobody wants them.
func TestTracesAreLoggedForWhoeverWantsThem(t *testing.T) {
	for level, want := range map[slog.Level]bool{slog.LevelDebug: false, watermill.LevelTrace: true} {
		var out strings.Builder
		log := logger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})))
		log.With(watermill.LogFields{"system": "orders"}).Trace("received", watermill.LogFields{"id": "7"})
		got := out.String()
		if logged := strings.Contains(got, "received") && strings.Contains(got, "system=orders") &&
			strings.Contains(got, "id=7") && strings.Contains(got, "part=watermill"); logged != want {
			t.Errorf("at level %v: %q", level, got)
		}
	}
}
