package fanfare_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

const secret = "a secret of at least thirty-two bytes"

func protected() fanfare.Config {
	var c fanfare.Config
	c.Auth.JWT.Secret = secret
	return c
}

func TestZeroConfigWithASecretIsValid(t *testing.T) {
	if err := protected().Validate(); err != nil {
		t.Error(err)
	}
}

func TestUnprotectedConfigIsRefusedExceptInDevelopment(t *testing.T) {
	if err := (fanfare.Config{}).Validate(); err == nil || !strings.Contains(err.Error(), "auth.jwt.secret") ||
		!strings.Contains(err.Error(), "Config.Auth.JWT.Secret") || !strings.Contains(err.Error(), "Config.Dev") {
		t.Errorf("got %v; want an error that names auth.jwt.secret", err)
	}
	if err := (fanfare.Config{Dev: true}).Validate(); err != nil {
		t.Errorf("development: %v", err)
	}
	if err := (fanfare.Config{Dev: true, Listen: ":8080"}).Validate(); err == nil {
		t.Error("development mode may listen on every address")
	}
	_, entry, _ := auth.NewKey("shop", domain.Scopes{"*"}, auth.KeyLimits{})
	c := fanfare.Config{}
	c.Auth.APIKeys = []fanfare.Secret{fanfare.Secret(entry)}
	if err := c.Validate(); err != nil {
		t.Errorf("API keys alone: %v", err)
	}
}

func TestEachFaultIsNamedByItsKey(t *testing.T) {
	for key, change := range map[string]func(*fanfare.Config){
		"listen":                   func(c *fanfare.Config) { c.Listen = "8080" },
		"admin_listen":             func(c *fanfare.Config) { c.Listen, c.AdminListen = ":1", ":1" },
		"admin.pprof":              func(c *fanfare.Config) { c.Admin.Pprof = true },
		"systems":                  func(c *fanfare.Config) { c.Systems = []string{"Orders"} },
		`systems: "*" stands`:      func(c *fanfare.Config) { c.Systems = []string{"*", "orders"} },
		"node":                     func(c *fanfare.Config) { c.Node = "a\nb" },
		"topic":                    func(c *fanfare.Config) { c.Topic = "orders" },
		"auth.jwt":                 func(c *fanfare.Config) { c.Auth.JWT.Secret = "short" },
		"control.dead_after":       func(c *fanfare.Config) { c.Control.DeadAfter = 9 * time.Second },
		"control.heartbeat":        func(c *fanfare.Config) { c.Control.Heartbeat = -1 },
		"control.disabled":         func(c *fanfare.Config) { c.Control.Disabled, c.Presence.Systems = true, []string{"*"} },
		"presence.systems":         func(c *fanfare.Config) { c.Presence.Systems = []string{"Orders"} },
		`presence.systems: "*"`:    func(c *fanfare.Config) { c.Presence.Systems = []string{"*", "orders"} },
		`presence.systems: "chat"`: func(c *fanfare.Config) { c.Systems, c.Presence.Systems = []string{"orders"}, []string{"chat"} },
		"events: name":             func(c *fanfare.Config) { c.Presence.Systems, c.Events = []string{"*"}, []string{"*"} },
		`events: "chat" has no`:    func(c *fanfare.Config) { c.Presence.Systems, c.Events = []string{"orders"}, []string{"chat"} },
		"auth.jwt: more than one":  func(c *fanfare.Config) { c.Auth.JWT.PublicKey = "x" },
		"auth.api_keys":            func(c *fanfare.Config) { c.Auth.APIKeys = []fanfare.Secret{"x"} },
		"origins":                  func(c *fanfare.Config) { c.Origins = []string{"example.com"} },
		"proxies":                  func(c *fanfare.Config) { c.Proxies = []string{"10.0.0.1"} },
		"origins: \"https://app":   func(c *fanfare.Config) { c.Origins = []string{"https://app.example.com/"} },
		"proxies: \"::ffff":        func(c *fanfare.Config) { c.Proxies = []string{"::ffff:10.0.0.0/104"} },
		"proxy_header":             func(c *fanfare.Config) { c.ProxyHeader = "X Forwarded For" },
		"auth.jwt.leeway: want":    func(c *fanfare.Config) { c.Auth.JWT.Leeway = -1 },
		"auth.jwt.leeway":          func(c *fanfare.Config) { c.Auth.JWT.Leeway = 11 * time.Minute },
		"window.messages":          func(c *fanfare.Config) { c.Window.Messages = -1 },
		"window.bytes":             func(c *fanfare.Config) { c.Window.Bytes = 1 },
		"limits.outbox_bytes":      func(c *fanfare.Config) { c.Limits.OutboxBytes = 1 },
		"limits.message_bytes":     func(c *fanfare.Config) { c.Limits.MessageBytes = -1 },
		"limits.sessions_per_user": func(c *fanfare.Config) { c.Limits.SessionsPerUser = -1 },
		"limits.ended_sessions":    func(c *fanfare.Config) { c.Limits.EndedSessions = -1 },
		"drain":                    func(c *fanfare.Config) { c.Drain = -1 },
		"publish_timeout":          func(c *fanfare.Config) { c.PublishTimeout = -1 },
		"log.level":                func(c *fanfare.Config) { c.Log.Level = "loud" },
		"log.format":               func(c *fanfare.Config) { c.Log.Format = "xml" },
	} {
		c := protected()
		change(&c)
		err := c.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), key) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v; want one fault that begins with the key", key, err)
		}
	}
}

func TestAllFaultsAreJoined(t *testing.T) {
	c := fanfare.Config{Topic: "x", Log: fanfare.LogConfig{Level: "x"}}
	err := c.Validate()
	for _, key := range []string{"topic: ", "log.level: ", "auth: "} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("got %v; want a fault for %q", err, key)
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	c := protected()
	c.Auth.APIKeys = []fanfare.Secret{"shop:*:hash"}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "config", c, "secret", c.Auth.JWT.Secret)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%q", c.Auth.JWT.Secret), logged.String(), string(asJSON),
	} {
		if strings.Contains(text, secret) || strings.Contains(text, "hash") {
			t.Errorf("a secret shows in %s", text)
		}
	}
}

func TestSizeIsReadAndPrinted(t *testing.T) {
	for text, want := range map[string]fanfare.Size{
		"0": 0, "65536": 64 << 10, "64KiB": 64 << 10, "64 KiB": 64 << 10, "1.5MiB": 3 << 19, "2GiB": 2 << 30, "64kB": 64_000, "7B": 7,
	} {
		got, err := fanfare.ParseSize(text)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "KiB", "-1", "-1KiB", "1.5", "1e3KiB", "NaNKiB", "InfKiB", "9223372036854775807GiB", "64kb", "x"} {
		if got, err := fanfare.ParseSize(bad); err == nil {
			t.Errorf("ParseSize(%q) = %d; want an error", bad, got)
		}
	}
	for size, want := range map[fanfare.Size]string{0: "0B", 100: "100B", 64 << 10: "64KiB", 3 << 19: "1536KiB", 1 << 30: "1GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d prints as %q; want %q", int64(size), got, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("64KiB")
	f.Add("1.5MiB")
	f.Add("-0x1p4KiB")
	f.Fuzz(func(t *testing.T, text string) {
		size, err := fanfare.ParseSize(text)
		if err != nil {
			return
		}
		if again, err := fanfare.ParseSize(size.String()); err != nil || again != size || size < 0 {
			t.Fatalf("%q is %d, prints as %s, which is %d, %v", text, int64(size), size, int64(again), err)
		}
	})
}
