package connections_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/loglimit"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/connections"
)

// What net/http says of clients is another text for each of them, so the bound
// must not go by the text.
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
