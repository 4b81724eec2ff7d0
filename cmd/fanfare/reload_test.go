package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

// A mounted is a folder of files as Kubernetes mounts secrets: the files are links through
// ..data, which is a link to the folder of the moment.
type mounted struct {
	t   *testing.T
	dir string
	n   int
}

// swap puts new files in place of all those of before at once.
func (m *mounted) swap(files map[string]string) {
	m.t.Helper()
	m.n++
	data := strings.Repeat("v", m.n)
	check := func(err error) {
		m.t.Helper()
		if err != nil && !os.IsExist(err) {
			m.t.Fatal(err)
		}
	}
	check(os.Mkdir(filepath.Join(m.dir, data), 0o700))
	for name, content := range files {
		check(os.WriteFile(filepath.Join(m.dir, data, name), []byte(content), 0o600))
		check(os.Symlink(filepath.Join("..data", name), filepath.Join(m.dir, name)))
	}
	check(os.Symlink(data, filepath.Join(m.dir, "..new")))
	check(os.Rename(filepath.Join(m.dir, "..new"), filepath.Join(m.dir, "..data")))
}

func (m *mounted) path(name string) string { return filepath.Join(m.dir, name) }

func newKey(t *testing.T, name string) (key, entry string) {
	t.Helper()
	key, entry, err := auth.NewKey(name, domain.Scopes{"publish/orders"}, auth.KeyLimits{})
	if err != nil {
		t.Fatal(err)
	}
	return key, entry
}

func publishStatus(t *testing.T, url, key string) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url+"/v1/systems/orders/messages", strings.NewReader(`{"to":"user:alice","data":1}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	w.Body.Close()
	return w.StatusCode
}

// connectStatus returns how a request for a session with a token is answered.
func connectStatus(t *testing.T, url, token string) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url+"/sse?systems=orders&check=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	w.Body.Close()
	return w.StatusCode
}

func tokenOf(t *testing.T, secret string) string {
	t.Helper()
	j, err := auth.NewJWT(auth.JWTConfig{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	token, err := j.Mint(domain.Grant{User: "alice", Systems: []string{"orders"}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestChangedFilesOfSecretsTakeEffectWithoutARestart(t *testing.T) {
	t.Parallel()
	const oldSecret, newSecret = "the old secret has thirty-two bytes", "the new secret has thirty-two bytes"
	oldKey, oldEntry := newKey(t, "shop")
	newKey, newEntry := newKey(t, "shop")
	files := &mounted{t: t, dir: t.TempDir()}
	config := "auth: {jwt: {secret_file: " + files.path("jwt") + "}, api_keys_file: " + files.path("keys") + ", reload: 100ms}\n"
	files.swap(map[string]string{"jwt": oldSecret, "keys": oldEntry, "config.yaml": config})
	p := node(t, nil, "serve", "--config", files.path("config.yaml"))
	url := p.url()
	want := func(old, new bool) {
		t.Helper()
		for _, c := range []struct {
			key, secret string
			good        bool
		}{{oldKey, oldSecret, old}, {newKey, newSecret, new}} {
			published, connected := http.StatusUnauthorized, http.StatusUnauthorized
			if c.good {
				published, connected = http.StatusAccepted, http.StatusNoContent
			}
			if got := publishStatus(t, url, c.key); got != published {
				t.Errorf("publishing: %d, want %d", got, published)
			}
			if got := connectStatus(t, url, tokenOf(t, c.secret)); got != connected {
				t.Errorf("a session: %d, want %d", got, connected)
			}
		}
	}
	want(true, false)

	files.swap(map[string]string{"jwt": "short", "keys": newEntry, "config.yaml": config})
	p.line("the new settings of auth are not taken")
	want(true, false)

	files.swap(map[string]string{"jwt": oldSecret, "keys": oldEntry + "," + newEntry, "config.yaml": config + "drain: 5s\n"})
	line := p.line("are in effect")
	if !strings.Contains(line, `"settings":"auth.api_keys"`) {
		t.Errorf("the log does not say what has changed: %s", line)
	}
	if line := p.line("need a restart"); !strings.Contains(line, `"settings":"drain"`) {
		t.Errorf("the log does not say what needs a restart: %s", line)
	}
	if got := publishStatus(t, url, newKey); got != http.StatusAccepted {
		t.Errorf("the second key of two: %d", got)
	}

	files.swap(map[string]string{"jwt": newSecret, "keys": newEntry, "config.yaml": config})
	p.line(`"settings":"auth.jwt.secret auth.api_keys"`)
	want(false, true)

	if err := os.Remove(files.path("jwt")); err != nil {
		t.Fatal(err)
	}
	p.line("cannot be read again")
	want(false, true)

	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, text := range []string{oldSecret, newSecret, oldEntry[len(oldEntry)-64:], newEntry[len(newEntry)-64:]} {
		if strings.Contains(p.output(), text) {
			t.Errorf("the log shows a secret:\n%s", p.output())
		}
	}
}

func TestHangupReadsTheFilesAtOnce(t *testing.T) {
	t.Parallel()
	oldKey, oldEntry := newKey(t, "shop")
	newKey, newEntry := newKey(t, "shop")
	file := write(t, oldEntry)
	p := node(t, nil, "serve", "--auth.api_keys_file", file, "--auth.reload", "24h")
	url := p.url()
	p.signal(syscall.SIGHUP)
	p.line("have not changed")
	if err := os.WriteFile(file, []byte(newEntry), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.line("are in effect")
	if old, now := publishStatus(t, url, oldKey), publishStatus(t, url, newKey); old != http.StatusUnauthorized || now != http.StatusAccepted {
		t.Errorf("the old key: %d, the new one: %d", old, now)
	}
}

// Whoever replaces keys does not know that a node is about to go.
func TestHangupDoesNotEndANodeThatDrains(t *testing.T) {
	t.Parallel()
	const secret = "this secret has thirty-two bytes"
	p := node(t, nil, "serve", "--auth.jwt.secret", secret, "--drain", "10m")
	r, err := http.NewRequest(http.MethodGet, p.url()+"/sse?systems=orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+tokenOf(t, secret))
	session, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGTERM)
	p.line(`"msg":"draining"`)
	p.signal(syscall.SIGHUP)
	session.Body.Close() // nobody is left
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.output())
	}
}

// The server for simple publishes and net/http answer alike.
func TestAKeyWithARatePublishesNoMore(t *testing.T) {
	t.Parallel()
	made := fanfareRun(t, "key", "--name", "shop", "--scopes", "publish/orders", "--rate", "1/m", "--ttl", "1h")
	if made.code != 0 {
		t.Fatal(made.err)
	}
	var key, entry string
	for line := range strings.Lines(made.out) {
		switch name, value, _ := strings.Cut(line, ":"); name {
		case "key":
			key = strings.TrimSpace(value)
		case "entry":
			entry = strings.TrimSpace(value)
		}
	}
	for _, standard := range []string{"true", "false"} {
		p := node(t, nil, "serve", "--auth.api_keys", entry, "--standard_http="+standard)
		url := p.url()
		first, second := publishStatus(t, url, key), publishStatus(t, url, key)
		if first != http.StatusAccepted || second != http.StatusTooManyRequests {
			t.Errorf("standard_http %s: %d, then %d", standard, first, second)
		}
	}
	for args, want := range map[string]string{
		"--rate 5/h": "--rate: a rate is", "--rate 0/s": "--rate: a rate is", "--expires soon": "--expires: an end is",
		"--expires 2020-01-01": "expired already", "--ttl -1s": "expired already", "--ttl 1h --expires 2199-01-01": "keep one",
	} {
		got := fanfareRun(t, append([]string{"key", "--name", "x", "--scopes", "*"}, strings.Fields(args)...)...)
		if got.code != 2 || !strings.Contains(got.err, want) {
			t.Errorf("%s: exit code %d, %s", args, got.code, got.err)
		}
	}
}
