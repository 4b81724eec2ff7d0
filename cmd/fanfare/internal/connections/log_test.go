package connections_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/loglimit"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/connections"
)

// net/http logs another text for each client, so the bound on log lines must not
// depend on the text.
func TestLinesOfTheHTTPServerAreBounded(t *testing.T) {
	var logged bytes.Buffer
	level := &slog.HandlerOptions{Level: slog.LevelDebug}
	server := connections.Server(nil, limits(), slog.New(loglimit.New(slog.NewTextHandler(&logged, level))))
	for port := range 5000 {
		server.ErrorLog.Printf("http: TLS handshake error from 192.0.2.1:%d: EOF", port)
	}
	if n := strings.Count(logged.String(), "\n"); n == 0 || n > 1000 {
		t.Errorf("%d lines", n)
	}
}
