package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/settings"
)

const secret = "a secret of at least thirty-two bytes"

func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func flags(t testing.TB, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.String("config", "", "not a setting")
	settings.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func load(t testing.TB, src settings.Sources) *settings.Settings {
	t.Helper()
	s, err := settings.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNothingGivenIsTheDefaults(t *testing.T) {
	s := load(t, settings.Sources{Environ: []string{"PATH=/bin", "FANFARE_CONFIG=x", "FANFARE_NODE="}, Flags: flags(t, "--config", "x")})
	if diff := cmp.Diff(fanfare.DefaultConfig(), s.Config); diff != "" {
		t.Error(diff)
	}
}

func TestFlagsBeatEnvironmentBeatsFileBeatsDefaults(t *testing.T) {
	s := load(t, settings.Sources{
		File:    write(t, "c.yaml", "listen: :1\nnode: file\ntopic: 'file.{system}'\n"),
		Environ: []string{"FANFARE_LISTEN=:2", "FANFARE_NODE=env"},
		Flags:   flags(t, "--listen=:3"),
	})
	if c := s.Config; c.Listen != ":3" || c.Node != "env" || c.Topic != "file.{system}" || c.Transport != "memory://" {
		t.Errorf("got %+v", c)
	}
}

// everything sets each kind of setting to something that is not its default.
var everything = map[string]string{
	"admin_listen": ":9", "systems": "orders,chat", "auth.jwt.secret": secret, "auth.api_keys": "a:*:x,b:*:y", "auth.query_token": "true",
	"auth.jwt.leeway": "2s", "auth.jwt.cache": "1KiB", "auth.jwt.previous_secret": secret + "!", "auth.jwt.claims.prefix": "push:",
	"auth.jwt.claims.systems": "resource_access.push.systems", "auth.jwt.default.rooms": "orders/*,chat/1", "auth.jwt.jwks_refresh": "1h", "auth.jwt.discovery": "true", "proxy_header": "Forwarded",
	"window.messages": "7", "window.bytes": "1.5MiB", "limits.sessions_per_user": "5", "limits.stall": "1m30s", "envelope.user_field": "user_id",
}

func wanted() fanfare.Config {
	c := fanfare.DefaultConfig()
	c.AdminListen, c.Systems = ":9", []string{"orders", "chat"}
	c.Auth.APIKeys, c.Auth.QueryToken = []fanfare.Secret{"a:*:x", "b:*:y"}, true
	j := &c.Auth.JWT
	j.Secret, j.PreviousSecret, j.Leeway, j.Cache = secret, secret+"!", 2*time.Second, 1<<10
	j.Claims.Systems, j.Claims.Prefix, j.Default.Rooms = "resource_access.push.systems", "push:", []string{"orders/*", "chat/1"}
	j.JWKSRefresh, j.Discovery = time.Hour, true
	c.ProxyHeader = "Forwarded"
	c.Window.Messages, c.Window.Bytes = 7, 3<<19
	c.Limits.SessionsPerUser, c.Limits.Stall = 5, 90*time.Second
	c.Envelope.UserField = "user_id"
	return c
}

func TestOneNameHasThreeSpellings(t *testing.T) {
	var environ, args, dashed []string
	for key, value := range everything {
		environ = append(environ, "FANFARE_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))+"="+value)
		args = append(args, "--"+key+"="+value)
		dashed = append(dashed, "--"+strings.ReplaceAll(key, "_", "-")+"="+value)
	}
	nested := `
admin_listen: ":9"
systems: [orders, chat]
proxy_header: Forwarded
auth:
  jwt: {secret: a secret of at least thirty-two bytes, issuer: , leeway: 2s, cache: 1KiB,
        previous_secret: a secret of at least thirty-two bytes!, discovery: true, jwks_refresh: 1h,
        claims: {systems: resource_access.push.systems, prefix: "push:"}, default: {rooms: [orders/*, chat/1]}}
  api_keys: ["a:*:x", "b:*:y"]
  query_token: true
window: {messages: 7, bytes: 1.5MiB}
limits:
  sessions_per_user: 5
  stall: 1m30s
envelope.user_field: user_id
log:
`
	for name, src := range map[string]settings.Sources{
		"flags":        {Flags: flags(t, args...)},
		"dashed flags": {Flags: flags(t, dashed...)},
		"environment":  {Environ: environ},
		"file":         {File: write(t, "c.yaml", nested)},
	} {
		if diff := cmp.Diff(wanted(), load(t, src).Config); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestUnknownNameIsRefusedWithTheNearest(t *testing.T) {
	for name, tt := range map[string]struct {
		src  settings.Sources
		want []string
	}{
		"file":        {settings.Sources{File: write(t, "c.yaml", "auth: {jwt: {secert: x}}")}, []string{"unknown setting auth.jwt.secert", "did you mean auth.jwt.secret?"}},
		"section":     {settings.Sources{File: write(t, "c.yaml", "limit: {stall: 1s}")}, []string{"unknown setting limit.stall", "did you mean limits.stall?"}},
		"deeper":      {settings.Sources{File: write(t, "c.yaml", "systems: {orders: 1}")}, []string{"unknown setting systems.orders"}},
		"environment": {settings.Sources{Environ: []string{"FANFARE_AUTH_JWT_SECERT=x"}}, []string{"FANFARE_AUTH_JWT_SECERT", "did you mean FANFARE_AUTH_JWT_SECRET?"}},
		"far off":     {settings.Sources{Environ: []string{"FANFARE_COLOUR_OF_THE_SKY=x"}}, []string{"unknown setting FANFARE_COLOUR_OF_THE_SKY in the environment"}},
	} {
		_, err := settings.Load(tt.src)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v; want %q", name, err, want)
			}
		}
	}
}

func TestWhatKubernetesPutsInTheEnvironmentIsNoSetting(t *testing.T) {
	load(t, settings.Sources{Environ: []string{
		"FANFARE_PORT=tcp://10.0.0.1:80", "FANFARE_PORT_80_TCP=tcp://10.0.0.1:80", "FANFARE_SERVICE_HOST=10.0.0.1", "FANFARE_SERVICE_PORT_HTTP=80",
	}})
}

func TestSecretComesFromAFile(t *testing.T) {
	path := write(t, "secret", secret+"\n")
	keys := write(t, "keys", "a:*:x\nb:*:y\n")
	s := load(t, settings.Sources{
		File:    write(t, "c.yaml", "auth.jwt.secret: overridden by what the environment names\n"),
		Environ: []string{"FANFARE_AUTH_JWT_SECRET_FILE=" + path},
		Flags:   flags(t, "--auth.api_keys_file="+keys),
	})
	if got := s.Config.Auth; got.JWT.Secret != secret || len(got.APIKeys) != 2 || got.APIKeys[1] != "b:*:y" {
		t.Errorf("got %q, %q", string(got.JWT.Secret), got.APIKeys)
	}
	if _, err := settings.Load(settings.Sources{Environ: []string{"FANFARE_AUTH_JWT_SECRET_FILE=" + path, "FANFARE_AUTH_JWT_SECRET=x"}}); err == nil {
		t.Error("a secret and its file in one place: accepted")
	}
	if _, err := settings.Load(settings.Sources{Environ: []string{"FANFARE_AUTH_JWT_SECRET_FILE=/does/not/exist"}}); err == nil ||
		!strings.Contains(err.Error(), "auth.jwt.secret_file: /does/not/exist: no such file") {
		t.Errorf("missing file: %v", err)
	}
	marked := write(t, "marked", "\ufeff"+secret+"\r\n")
	for _, name := range []string{"AUTH_JWT_SECRET", "AUTH_JWT_PUBLIC_KEY", "AUTH_API_KEYS"} {
		_, err := settings.Load(settings.Sources{Environ: []string{"FANFARE_" + name + "_FILE=" + marked}})
		if err == nil || !strings.Contains(err.Error(), "byte order mark") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s from a file with a byte order mark: %v", name, err)
		}
	}
}

func TestBadValueIsNamedByItsKeyAndPlace(t *testing.T) {
	for text, want := range map[string]string{
		"drain: soon":                   "drain: want a duration",
		"drain: 20":                     "drain: want a duration",
		"drain: 0s":                     "more than 0",
		"window.bytes: -1":              "window.bytes: want a size",
		"limits.sessions: many":         "limits.sessions: want a whole number",
		"limits.sessions: 0":            "more than 0",
		"auth.query_token: maybe":       "auth.query_token: want true or false",
		"listen: [a, b]":                "listen: want one value",
		"systems: [[a]]":                "systems: want one value",
		"- a list":                      "config file",
		"listen: :1\nlisten: :2":        "config file",
		"a: b: c":                       "config file",
		"\x00":                          "config file",
		"limits: {1: 2}":                "unknown setting limits.1",
		"window.age: 1m\nwindow.bytes:": "",
	} {
		_, err := settings.Load(settings.Sources{File: write(t, "c.yaml", text)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v; want %q", text, err, want)
		}
	}
	if _, err := settings.Load(settings.Sources{File: "/does/not/exist.yaml"}); err == nil || err.Error() != "config file /does/not/exist.yaml: no such file or directory" {
		t.Errorf("missing file: %v", err)
	}
}

func TestPrintedSettingsHideSecretsAndSayWhereTheyComeFrom(t *testing.T) {
	path := write(t, "secret", secret)
	s := load(t, settings.Sources{
		File:    write(t, "c.yaml", "auth.api_keys: 'shop:publish/orders:0a0b'\n"),
		Environ: []string{"FANFARE_AUTH_JWT_SECRET_FILE=" + path, "FANFARE_TRANSPORT=redis://me:pass-1@h:1/0?sentinel_password=pass-2&db=1"},
		Flags:   flags(t, "--drain=1h"),
	})
	text := s.String()
	for _, hidden := range []string{secret, "0a0b", "pass-1", "pass-2"} {
		if strings.Contains(text, hidden) {
			t.Errorf("%q shows in\n%s", hidden, text)
		}
	}
	squeezed := strings.Join(strings.Fields(text), " ")
	for _, want := range []string{
		"drain: 1h # flag --drain", "listen: 127.0.0.1:8080 # default",
		"auth.jwt.secret: (hidden) # env FANFARE_AUTH_JWT_SECRET_FILE (" + path + ")",
		`auth.api_keys: ["shop:publish/orders:(hidden)"] # file`, "window.bytes: 128MiB # default", "window.age: 10m # default",
	} {
		if !strings.Contains(squeezed, want) && !strings.Contains(squeezed, strings.ReplaceAll(want, `"`, "")) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	// The output can be read as a file, except for what it hides.
	if again := load(t, settings.Sources{File: write(t, "printed.yaml", text)}); again.Config.Drain != time.Hour || again.Config.Window != s.Config.Window {
		t.Errorf("read again: %+v", again.Config)
	}
}

// A transport that is no valid URL may still hold a password.
func TestPrintedSettingsHideATransportThatIsNoURL(t *testing.T) {
	for _, transport := range []string{"me:pass-1@h:1", "nats:me:pass-1@h", "//me:pass-1@h", "nats://h memory:me:pass-1@h", "nats://h?token=x&pass-1"} {
		if text := load(t, settings.Sources{Flags: flags(t, "--transport="+transport)}).String(); strings.Contains(text, "pass-1") {
			t.Errorf("%s: it shows in\n%s", transport, text)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add("listen: :1\nauth: {jwt: {secret: x}}\n")
	f.Add("systems: [a, {b: c}]\nwindow: {bytes: 1.5MiB, age: 1h}")
	f.Add("a: &a [*a]")
	f.Add("? {x: y}\n: 1")
	path := filepath.Join(f.TempDir(), "c.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := settings.Load(settings.Sources{File: path}); err == nil {
			_, _ = s.String(), s.Config.Validate()
		}
	})
}

func FuzzEnvironment(f *testing.F) {
	f.Add("AUTH_JWT_SECRET", "x")
	f.Add("TRANSPORT", "redis://:%zz@h")
	f.Fuzz(func(t *testing.T, name, value string) {
		if s, err := settings.Load(settings.Sources{Environ: []string{"FANFARE_" + name + "=" + value}}); err == nil {
			_, _ = s.String(), s.Config.Validate()
		}
	})
}
