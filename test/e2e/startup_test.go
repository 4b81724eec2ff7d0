package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A node that cannot start says why in one line, and exits with 2.
func TestStartErrorsAreOneClearLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "fanfare.yaml")
	if err := os.WriteFile(file, []byte("limits:\n  stal: 3s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := settings{"AUTH_JWT_SECRET": strings.Repeat("s", 32), "LISTEN": "127.0.0.1:0"}
	with := func(more settings) settings {
		all := maps.Clone(secret)
		maps.Copy(all, more)
		return all
	}
	for _, test := range []struct {
		name  string
		args  []string
		env   settings
		wants []string
	}{
		{"port taken", []string{"serve", "--listen", taken.Addr().String()}, secret, []string{"listen", taken.Addr().String(), "address already in use"}},
		{"admin port taken", []string{"serve", "--admin-listen", taken.Addr().String()}, secret, []string{"admin_listen", taken.Addr().String()}},
		{"no address", []string{"serve", "--listen", "8080"}, secret, []string{"listen", "host:port"}},
		{"unknown scheme", []string{"serve", "--transport", "rabbit://localhost"}, secret, []string{"rabbit", "memory://", "redis://", "rediss://", "redis-streams://", "rediss-streams://"}},
		{"unknown parameter", []string{"serve"}, with(settings{"TRANSPORT": "redis-streams://me:hunter2@localhost:6379/0?retenshun=1h"}), []string{"retenshun", "retention"}},
		{"bad parameter", []string{"serve"}, with(settings{"TRANSPORT": "redis-streams://me:hunter2@localhost:6379/0?retention=soon"}), []string{"retention"}},
		{"TLS and no TLS", []string{"serve"}, with(settings{"TRANSPORT": "rediss://me:hunter2@localhost:6379/0?tls=false"}), []string{"tls=false", "rediss:// means TLS"}},
		{"sentinel's password without a sentinel", []string{"serve"}, with(settings{"TRANSPORT": "redis://localhost:6379/0?sentinel_password=hunter2"}), []string{"sentinel_master"}},
		{"unknown flag", []string{"serve", "--limits.stal", "3s"}, secret, []string{"--limits.stal", "--limits.stall"}},
		{"unknown variable", []string{"serve"}, with(settings{"LISTEM": ":1"}), []string{"FANFARE_LISTEM", "FANFARE_LISTEN"}},
		{"unknown key in the file", []string{"serve", "--config", file}, secret, []string{"limits.stal", "limits.stall", file}},
		{"bad value", []string{"serve", "--drain", "soon"}, secret, []string{"drain", "want a duration", "--drain"}},
		{"config file missing", []string{"serve", "--config", file + ".not"}, secret, []string{file + ".not", "no such file"}},
		{"secret file missing", []string{"serve", "--auth.jwt.secret_file", file + ".not"}, nil, []string{"auth.jwt.secret_file", file + ".not", "no such file"}},
		{"secret too short", []string{"serve"}, with(settings{"AUTH_JWT_SECRET": "hunter2"}), []string{"auth.jwt", "32"}},
		{"API key instead of its entry", []string{"serve"}, with(settings{"AUTH_API_KEYS": "hunter2"}), []string{"auth.api_keys", "fanfare key"}},
		{"no auth", []string{"serve"}, nil, []string{"auth", "fanfare dev"}},
		{"bad system", []string{"serve", "--systems", "Orders"}, secret, []string{"systems", "Orders"}},
		{"dev for everybody", []string{"dev", "--listen", "0.0.0.0:0"}, nil, []string{"listen", "127.0.0.1"}},
		{"unknown command", []string{"sreve"}, secret, []string{"sreve", "serve"}},
		{"unexpected argument", []string{"serve", "now"}, secret, []string{"now"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, fanfareBinary, test.args...)
			cmd.Env = environ(test.env)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 2 {
				t.Errorf("%v, want exit code 2", err)
			}
			said := stderr.String()
			if strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "fanfare: ") || stdout.Len() > 0 {
				t.Errorf("want one line on stderr, got %q, and on stdout %q", said, stdout.String())
			}
			for _, want := range test.wants {
				if !strings.Contains(said, want) {
					t.Errorf("%q does not name %q", said, want)
				}
			}
			if strings.Contains(said, "hunter2") {
				t.Errorf("a secret is shown: %q", said)
			}
		})
	}
}
