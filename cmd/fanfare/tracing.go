package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/otlp"
)

// tracingTime is how long the last spans may take to be sent at the end.
const tracingTime = 3 * time.Second

// tracing returns the option with which a node makes spans, if the environment says where
// these go. Stop sends those that are left. A mistake in the environment, which is often the
// same for all programs of a platform, does not keep the node from its work.
func tracing(node string, log *slog.Logger) (on []fanfare.Option, stop func()) {
	provider, err := otlp.New(versionText(), node, log)
	if err != nil {
		log.Error("tracing is off", "error", err)
	}
	if provider == nil {
		return nil, func() {}
	}
	return []fanfare.Option{fanfare.WithTracerProvider(provider)}, func() {
		ctx, cancel := context.WithTimeout(context.Background(), tracingTime)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("tracing: the last spans were not sent in time", "error", err)
		}
	}
}
