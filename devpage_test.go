package fanfare_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
)

func TestOnlyADevelopmentNodeShowsAPage(t *testing.T) {
	protected := fanfare.Config{}
	protected.Auth.JWT.Secret = fanfare.Secret(strings.Repeat("s", 32))
	get := func(cfg fanfare.Config, path string, header ...string) *httptest.ResponseRecorder {
		t.Helper()
		g, err := fanfare.New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080"+path, nil)
		r.RemoteAddr = "127.0.0.1:50000"
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w
	}
	if w := get(protected, "/"); w.Code != http.StatusNotFound {
		t.Errorf("a protected node answers / with %d", w.Code)
	}
	dev := fanfare.Config{Dev: true}
	w := get(dev, "/")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `data-systems="orders,chat"`) {
		t.Errorf("a development node answers / with %d: %.80s", w.Code, w.Body)
	}
	if w := get(dev, "/other"); w.Code != http.StatusNotFound {
		t.Errorf("a development node answers /other with %d", w.Code)
	}
	if w := get(dev, "/", "X-Forwarded-For", "192.0.2.1"); w.Code != http.StatusForbidden {
		t.Errorf("a development node shows its page through a tunnel: %d", w.Code)
	}
	dev.AdminListen = "127.0.0.1:9090"
	if w := get(dev, "/"); strings.Contains(w.Body.String(), `"/docs"`) {
		t.Error("the page leads to documentation that another listener serves")
	}
}
