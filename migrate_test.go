package fanfare_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
)

// A node that is set up for the old bus alone gets no more clients when it is
// moved.
func TestNodeThatIsLeftBehindIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.New(memory.Config{})
		defer bus.Close()
		ctx, stop := context.WithCancel(t.Context())
		g, err := fanfare.New(ctx, fanfare.Config{Dev: true, Systems: []string{"orders"}, Drain: 1}, fanfare.WithDriver(bus.Driver()))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		ready := func(status int, phase string) {
			t.Helper()
			synctest.Wait()
			a, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://127.0.0.1/readyz", nil)
			r.RemoteAddr = "127.0.0.1:1" // development mode is for this machine only
			if g.ServeHTTP(a, r); a.Code != status || !strings.Contains(a.Body.String(), phase) {
				t.Errorf("/readyz: %d %s, want %d %s", a.Code, a.Body, status, phase)
			}
		}
		ready(http.StatusOK, "ready")
		if errs := bus.Publish(ctx, []transport.Outgoing{{Topic: "fanfare.orders", Message: provenance.NewMovedAway("mark")}}); errs != nil {
			t.Fatal(errs)
		}
		ready(http.StatusServiceUnavailable, "deaf")
	})
}
