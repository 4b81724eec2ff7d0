package fanfare_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
)

const hookSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func TestAWebhookIsALineOfWords(t *testing.T) {
	w, err := fanfare.ParseWebhook("name=crm  url=https://u:hunter2@h.example/hunter2?x=hunter2 secret=whsec_hunter2 " +
		"secret=whsec_hunter2 secret_file=/run/s systems=chat+orders events inbound timeout=5s max_age=12h")
	if err != nil {
		t.Fatal(err)
	}
	if w.Name != "crm" || w.URL != "https://u:hunter2@h.example/hunter2?x=hunter2" || len(w.Secrets) != 2 ||
		w.SecretFile != "/run/s" || len(w.Systems) != 2 || !w.Events || !w.Inbound || w.Timeout != 5*time.Second || w.MaxAge != 12*time.Hour {
		t.Errorf("%+v", w)
	}
	const want = "name=crm url=https://h.example/(hidden) secret=(hidden) secret=(hidden) secret_file=/run/s " +
		"systems=chat+orders events inbound timeout=5s max_age=12h0m0s"
	if got := w.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, text := range []string{
		"name=a name=b", "events=true", "name", "url=", "hunter2", "hunter2=1", "timeout=hunter2", "max_age=-1s", "max_age=0s",
	} {
		if _, err := fanfare.ParseWebhook(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := fanfare.ParseWebhook("name=a evnts"); err == nil || !strings.HasPrefix(err.Error(), "word 2: ") {
		t.Errorf("a wrong word is not pointed to: %v", err)
	}
}

// A webhook that can get nothing is no fault, since other nodes may make the events.
func TestAWebhookWithoutEventsIsLogged(t *testing.T) {
	var logged bytes.Buffer
	cfg := fanfare.Config{
		Dev: true, Presence: fanfare.PresenceConfig{Systems: []string{"*"}}, Events: []string{"chat"},
		Webhooks: []fanfare.Webhook{{
			Name: "crm", URL: "https://h/", Secrets: []fanfare.Secret{hookSecret},
			Systems: []string{"chat", "shop"}, Events: true,
		}},
	}
	node, err := fanfare.New(t.Context(), cfg, fanfare.WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(logged.String(), "systems=[shop]") {
		t.Errorf("logged %s", &logged)
	}
}

func FuzzParseWebhook(f *testing.F) {
	f.Add("name=crm url=https://h/p secret=whsec_x secret_file=f systems=a+b events inbound timeout=1s max_age=2h")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := fanfare.ParseWebhook(text)
		if err != nil {
			return
		}
		for _, s := range w.Secrets {
			if len(s) > 8 && !strings.Contains(text[:strings.Index(text, "secret=")], string(s)) && strings.Contains(w.String(), "secret="+string(s)) && s != "(hidden)" {
				t.Errorf("%s shows a secret", w)
			}
		}
	})
}

// A node with the setting posts what is on the bus, and signs it with the secrets of a file.
func TestANodePostsToItsWebhooks(t *testing.T) {
	posted := make(chan error, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		key, keyErr := standardwebhooks.NewWebhook(hookSecret)
		if err = errors.Join(err, keyErr); err == nil {
			err = key.Verify(body, r.Header)
		}
		if err == nil && !strings.Contains(string(body), `"from":"alice"`) {
			err = errors.New(string(body))
		}
		posted <- err
	}))
	defer hook.Close()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(hookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bus := memory.New(memory.Config{})
	defer bus.Close()
	cfg := fanfare.Config{Dev: true, Systems: []string{"chat"}, Webhooks: []fanfare.Webhook{
		{Name: "crm", URL: hook.URL, SecretFile: file, Systems: []string{"chat"}, Inbound: true},
	}}
	node, err := fanfare.New(t.Context(), cfg, fanfare.WithDriver(bus.Driver()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	out := transport.New(bus.Driver(), transport.Config{})
	defer out.Close()
	m := message.NewMessage("1", []byte(`{"from":"alice","session":"s","id":"1","data":1}`))
	m.Metadata = message.Metadata{transport.RawKey: "1"}
	if err := out.Publish("fanfare.chat.inbound", m); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-posted:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was posted")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}

	cfg.Webhooks[0].SecretFile = filepath.Join(t.TempDir(), "missing")
	if err := cfg.Validate(); err != nil {
		t.Errorf("Validate reads files: %v", err)
	}
	if _, err := fanfare.New(t.Context(), cfg, fanfare.WithDriver(bus.Driver())); err == nil || !strings.Contains(err.Error(), "secret_file") {
		t.Errorf("a missing file of secrets: %v", err)
	}
	cfg.Webhooks[0].Systems = nil
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), `webhooks: webhook "crm": systems`) {
		t.Errorf("a webhook of no system: %v", err)
	}
}
