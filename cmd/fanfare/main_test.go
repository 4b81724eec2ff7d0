package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// The test binary is also the command: with asCommand set it runs main.
const asCommand = "TEST_AS_FANFARE_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

const secret = "a secret of at least thirty-two bytes"

// deadline bounds every wait of these tests. It is not a claim about speed.
const deadline = 30 * time.Second

// command prepares fanfare with nothing of this process's environment.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append([]string{asCommand + "=1", "PATH=" + os.Getenv("PATH"), "GOCOVERDIR=" + t.TempDir()}, env...)
	return cmd
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

func fanfareWith(t *testing.T, input string, env []string, args ...string) result {
	t.Helper()
	cmd := command(t, env, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func fanfareRun(t *testing.T, args ...string) result {
	t.Helper()
	return fanfareWith(t, "", nil, args...)
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A process is a command that runs until it is told to stop.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	mu    sync.Mutex
	lines []string // of both outputs; guarded by mu
	done  chan struct{}
	code  int // once done
}

func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: command(t, env, args...), done: make(chan struct{})}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			p.mu.Lock()
			p.lines = append(p.lines, lines.Text())
			p.mu.Unlock()
		}
	}()
	go func() {
		_ = p.cmd.Wait() // the exit code says it
		p.code = p.cmd.ProcessState.ExitCode()
		w.Close()
		<-read
		close(p.done)
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.done })
	return p
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// line waits for a line that holds text.
func (p *process) line(text string) string {
	p.t.Helper()
	var found string
	p.until("a line with "+text, func() bool {
		for line := range strings.Lines(p.output()) {
			if strings.Contains(line, text) {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

func (p *process) until(what string, ok func() bool) {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(deadline)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			p.t.Fatalf("waited in vain for %s; the output is:\n%s", what, p.output())
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.code
	case <-time.After(deadline):
		p.t.Fatalf("it does not end; the output is:\n%s", p.output())
		return -1
	}
}

// url waits until a node listens and returns its address.
func (p *process) url() string {
	p.t.Helper()
	var entry struct{ Address string }
	if err := json.Unmarshal([]byte(p.line(`"msg":"listening"`)), &entry); err != nil {
		p.t.Fatal(err)
	}
	return "http://" + entry.Address
}

func node(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return start(t, env, append(args, "--listen", "127.0.0.1:0", "--log.format", "json")...)
}

func TestWhatKeepsItFromStartingIsOneClearLineAndExitCode2(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	good := "--auth.jwt.secret=" + secret
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"unprotected":       {[]string{"serve"}, "auth: nothing is configured"},
		"port taken":        {[]string{"serve", good, "--listen", taken.Addr().String()}, "listen: cannot listen on " + taken.Addr().String() + ": address already in use"},
		"admin port taken":  {[]string{"serve", good, "--listen", "127.0.0.1:0", "--admin-listen", taken.Addr().String()}, "admin_listen: cannot listen on"},
		"no such host":      {[]string{"dev", "--listen", "8080"}, `listen: "8080" is no address`},
		"profiles for all":  {[]string{"serve", good, "--admin.pprof"}, "admin.pprof: profiles show what is in the node's memory"},
		"not loopback":      {[]string{"dev", "--listen", "0.0.0.0:0"}, "listen: development mode"},
		"file missing":      {[]string{"serve", "--config", "/does/not/exist.yaml"}, "config file /does/not/exist.yaml: no such file or directory"},
		"secret missing":    {[]string{"serve", "--auth.jwt.secret_file", "/does/not/exist"}, "auth.jwt.secret_file: /does/not/exist: no such file or directory"},
		"key too short":     {[]string{"serve", "--auth.jwt.secret", "short"}, "auth.jwt: the secret has 5 bytes, at least 32 are needed"},
		"two kinds of keys": {[]string{"config", "check", good, "--auth.jwt.jwks_url", "https://login.example.com/jwks"}, "auth.jwt: more than one of a secret"},
		"keys of nobody":    {[]string{"config", "check", "--auth.jwt.discovery"}, "auth.jwt: discovery asks the issuer: set issuer, too"},
		"a glob of nothing": {[]string{"config", "check", good, "--auth.jwt.default.rooms", "lobby"}, `auth.jwt: default.rooms: "lobby" matches nothing`},
		"unknown scheme":    {[]string{"serve", good, "--listen", "127.0.0.1:0", "--transport", "rediss-stream://h"}, "redis-streams://"},
		"unknown parameter": {[]string{"serve", good, "--listen", "127.0.0.1:0", "--transport", "memory://?retentoin=1h"}, "retentoin"},
		"a section":         {[]string{"serve", "--config", write(t, "presence: chat")}, "unknown setting presence: it is a section, of settings such as presence.systems"},
		"rebalance nothing": {[]string{"rebalance"}, "want the name of one node as NODE"},
		"keys of whom":      {[]string{"config", "check", "--auth.jwt.jwks_url", "https://login.example.com/jwks"}, "set issuer, or audience"},
		"unknown setting":   {[]string{"serve", "--config", write(t, "auth: {jwt: {secert: x}}")}, "unknown setting auth.jwt.secert: did you mean auth.jwt.secret?"},
		"unknown flag":      {[]string{"serve", "--auth.jwt.secert", "x"}, "unknown flag --auth.jwt.secert: did you mean --auth.jwt.secret?"},
		"unknown command":   {[]string{"lisen"}, `unknown command "lisen": did you mean listen?`},
		"unknown subject":   {[]string{"config", "pirnt"}, `unknown command "pirnt": did you mean print?`},
		"bad value":         {[]string{"dev", "--drain", "soon"}, "drain: want a duration"},
		"bad config":        {[]string{"config", "check"}, "auth: nothing is configured"},
		"bad bus":           {[]string{"config", "check", good, "--transport", "memory://?retentoin=1h"}, "retentoin"},
		"argument":          {[]string{"serve", "now"}, "now"},
		"listen to nothing": {[]string{"listen"}, "--systems"},
		"publish nowhere":   {[]string{"publish"}, "--system"},
		"publish to nobody": {[]string{"publish", "--system", "orders"}, "--to"},
		"publish nothing":   {[]string{"publish", "--system", "orders", "--to", "*"}, "--data or --text"},
		"publish no JSON":   {[]string{"publish", "--system", "orders", "--to", "*", "--data", "hello"}, "or use --text"},
		"publish to x":      {[]string{"publish", "--system", "orders", "--to", "x", "--data", "1"}, `to[0]: target "x"`},
		"publish broken":    {[]string{"publish", "--system", "orders", "--to", "*", "--text", "\xff"}, "--text is not UTF-8"},
		"publish broken id": {[]string{"publish", "--system", "orders", "--to", "*", "--data", "1", "--id", "\xff"}, "id: want valid UTF-8"},
		"publish broken to": {[]string{"publish", "--system", "orders", "--to", "user:\xff", "--data", "1"}, "to[0]: a name must be valid UTF-8"},
		"publish deep":      {[]string{"publish", "--system", "orders", "--to", "*", "--data", strings.Repeat("[", 129) + strings.Repeat("]", 129)}, "deeper than 128"},
		"publish two":       {[]string{"publish", "--system", "orders", "--to", "*", "--data", `1,"session":"x"`, "--content-type", "application/x+json"}, "or use --text"},
		"publish no text":   {[]string{"publish", "--system", "orders", "--to", "*", "--data", "1", "--content-type", "text/html"}, "use --text"},
		"publish to no bus": {[]string{"publish", "--system", "orders", "--to", "*", "--data", "1", "--transport", "x://"}, "unknown scheme"},
		"bridge nowhere":    {[]string{"bridge", "--from", "memory://", "--systems", "orders"}, "want --to URL"},
		"bridge nothing":    {[]string{"bridge", "--from", "memory://", "--to", "kafka://h"}, "want --systems"},
		"bridge to no log":  {[]string{"bridge", "--from", "memory://", "--to", "redis://h", "--systems", "orders"}, "only buses that keep a log"},
		"move to itself":    {[]string{"move", "--from", "memory://", "--to", "memory://", "--systems", "orders"}, "the same bus"},
		"move to no bus":    {[]string{"move", "--from", "memory://", "--to", "x://", "--systems", "orders"}, "unknown scheme"},
		"token, no secret":  {[]string{"token", "--user", "alice"}, "auth.jwt.secret: not set"},
		"token, claims":     {[]string{"token", "--user", "alice", "--config", write(t, "auth: {jwt: {secret: "+secret+", claims: {systems: a.b}}}")}, "auth.jwt.claims.systems: these nodes read the claim a.b"},
		"token, no user":    {[]string{"token", good}, "--user"},
		"token, no time":    {[]string{"token", good, "--user", "alice", "--ttl", "999ms"}, "at least 1s"},
		"token, no place":   {[]string{"token", good, "--user", "alice", "--presence", "chat"}, "--presence: \"chat\" matches nothing"},
		"key, no name":      {[]string{"key"}, "--name"},
		"key, bad scope":    {[]string{"key", "--name", "x", "--scopes", "write/orders"}, "scopes are"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := fanfareRun(t, tt.args...)
			if got.code != 2 || got.out != "" {
				t.Errorf("exit code %d, output %q; want 2 and nothing", got.code, got.out)
			}
			if !strings.HasPrefix(got.err, "fanfare: ") || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, tt.want) {
				t.Errorf("got %q; want one line with %q", got.err, tt.want)
			}
			if strings.Contains(got.err, secret) {
				t.Errorf("the secret shows: %s", got.err)
			}
		})
	}
}

func TestUnknownNameInTheEnvironmentIsRefused(t *testing.T) {
	got := fanfareWith(t, "", []string{"FANFARE_AUTH_JWT_SECERT=x"}, "config", "print")
	if got.code != 2 || !strings.Contains(got.err, "did you mean FANFARE_AUTH_JWT_SECRET?") {
		t.Errorf("got %+v", got)
	}
}

func TestEveryCommandHelpsWithAnExample(t *testing.T) {
	for _, name := range []string{"serve", "dev", "publish", "listen", "token", "key", "config check", "config print",
		"who", "sessions", "watch", "nodes", "disconnect", "block", "unblock", "revoke", "members", "members add", "members remove", "members list"} {
		got := fanfareRun(t, append(strings.Fields(name), "--help")...)
		if got.code != 0 || !strings.Contains(got.out, "Examples:\n") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := fanfareRun(t, "version"); got.code != 0 || !strings.HasPrefix(got.out, "fanfare ") {
		t.Errorf("version: %+v", got)
	}
	if got, want := fanfareRun(t, "--version"), fanfareRun(t, "version"); got != want {
		t.Errorf("--version: %+v, want %+v", got, want)
	}
}

func TestConfigPrintHidesSecretsAndSaysWhereSettingsComeFrom(t *testing.T) {
	file := write(t, "auth: {jwt: {secret: "+secret+"}}\nlimits: {stall: 5s}\n")
	got := fanfareWith(t, "", []string{"FANFARE_CONFIG=" + file, "FANFARE_NODE=n1"}, "config", "print", "--drain", "1m")
	for _, want := range []string{"(hidden)", "limits.stall: 5s", "# file " + file, "# env FANFARE_NODE", "# flag --drain", "# default"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s", want, got.out)
		}
	}
	if got.code != 0 || strings.Contains(got.out, secret) {
		t.Errorf("exit code %d, output\n%s", got.code, got.out)
	}
	if got := fanfareRun(t, "config", "check", "--config", file); got.code != 0 {
		t.Errorf("check: %+v", got)
	}
}

func TestDevelopmentNodeDeliversAndStopsWhenAsked(t *testing.T) {
	n := node(t, nil, "dev")
	url := n.url()
	n.line("listen --url " + url + " --user alice")
	n.line(url + "/v1/systems/orders/messages")
	alice := start(t, nil, "listen", "--url", url, "--user", "alice", "--systems", "orders", "--plain-data", "--count", "2")
	v1 := start(t, nil, "listen", "--url", url, "--user", "alice", "--systems", "orders", "--rooms", "orders/ops")
	v1.line(`"op":"hello"`)
	// Plain output has no hello, so publish until the first message comes.
	alice.until("alice's session", func() bool {
		got := fanfareRun(t, "publish", "--url", url, "--system", "orders", "--to", "user:alice", "--text", "two\nlines", "--type", "greeting")
		if got.code != 0 || len(strings.TrimSpace(got.out)) != 26 {
			t.Fatalf("publish: %+v", got)
		}
		return alice.output() != ""
	})
	v1.line(`"type":"greeting"`)
	got := fanfareWith(t, `{"to":"room:ops","data":1,"id":"a"}`+"\n\n"+`{"to":"user:alice","data":{"n":2},"id":"b"}`, []string{"FANFARE_URL=" + url}, "publish", "--system", "orders", "-")
	if got.code != 0 || got.out != "a\nb\n" {
		t.Errorf("publish from standard input: %+v", got)
	}
	v1.line(`"to":"room:ops"`)
	v1.line(`"data":{"n":2}`)
	if alice.exit() != 0 || !strings.HasPrefix(alice.output(), "two\nlines\n") {
		t.Errorf("exit code %d, output %q", alice.code, alice.output())
	}
	v1.signal(os.Interrupt)
	if v1.exit() != 0 {
		t.Errorf("listen ended with %d: %s", v1.code, v1.output())
	}
	n.signal(syscall.SIGTERM)
	if n.exit() != 0 {
		t.Errorf("dev ended with %d: %s", n.code, n.output())
	}
}

func TestProtectedNodeWantsKeysAndTokens(t *testing.T) {
	made := fanfareRun(t, "key", "--name", "shop", "--scopes", "publish/orders")
	var key, entry string
	if _, err := fmt.Sscanf(made.out, "key: %s\nentry: %s\n", &key, &entry); err != nil {
		t.Fatalf("%+v: %v", made, err)
	}
	secretFile := write(t, secret+"\n")
	n := node(t, []string{"FANFARE_AUTH_JWT_SECRET_FILE=" + secretFile}, "serve", "--auth.api_keys", entry, "--systems", "orders,chat", "--drain", "100ms")
	url := n.url()
	minted := fanfareRun(t, "token", "--auth.jwt.secret_file", secretFile, "--user", "alice", "--systems", "orders")
	token := strings.TrimSpace(minted.out)
	if minted.code != 0 || strings.Count(token, ".") != 2 {
		t.Fatalf("token: %+v", minted)
	}

	for name, tt := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"no key":            {nil, []string{"publish", "--system", "orders", "--to", "*", "--data", "1"}, "401"},
		"key without scope": {[]string{"FANFARE_KEY=" + key}, []string{"publish", "--system", "chat", "--to", "*", "--data", "1"}, "403"},
		"not served":        {[]string{"FANFARE_KEY=" + key}, []string{"publish", "--system", "other", "--to", "*", "--data", "1"}, "40"},
		"no token":          {nil, []string{"listen", "--systems", "orders"}, "401 Unauthorized: no valid token: there is none: send one as \"Authorization: Bearer <token>\", from a page as the subprotocol \"fanfare.token.<token>\" or in the cookie fanfare_token (give it with --token or FANFARE_TOKEN)"},
		"forged token":      {[]string{"FANFARE_TOKEN=" + token + "x"}, []string{"listen", "--systems", "orders"}, "401"},
		"another system":    {[]string{"FANFARE_TOKEN=" + token}, []string{"listen", "--systems", "chat"}, "403"},
	} {
		got := fanfareWith(t, "", append(tt.env, "FANFARE_URL="+url), tt.args...)
		if got.code != 1 || !strings.Contains(got.err, "the node answered "+tt.want) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%s: %+v; want exit code 1 and %s", name, got, tt.want)
		}
	}

	alice := start(t, []string{"FANFARE_TOKEN=" + token, "FANFARE_URL=" + url}, "listen", "--systems", "orders")
	alice.line(`"user":"alice"`)
	if got := fanfareWith(t, "", []string{"FANFARE_KEY=" + key}, "publish", "--url", url, "--system", "orders", "--to", "user:alice", "--data", "1"); got.code != 0 {
		t.Errorf("publish: %+v", got)
	}
	alice.line(`"op":"message"`)
	n.signal(syscall.SIGTERM)
	alice.line(`"op":"goaway"`)
	if n.exit() != 0 {
		t.Errorf("serve ended with %d: %s", n.code, n.output())
	}
	if strings.Contains(n.output(), token) || strings.Contains(n.output(), key) || strings.Contains(n.output(), secret) {
		t.Errorf("a credential is in the log:\n%s", n.output())
	}
	alice.line("connection lost")
}

func TestPublishStraightToTheBusNeedsNoNode(t *testing.T) {
	got := fanfareWith(t, `{"to":"*","data":1,"id":"a"}`+"\n"+`{"to":"*","data_base64":"AAE="}`, nil, "publish", "--transport", "memory://", "--system", "orders", "-")
	if got.code != 0 || !strings.HasPrefix(got.out, "a\n") || strings.Count(got.out, "\n") != 2 {
		t.Errorf("got %+v; want two ids, the first being a", got)
	}
	asJSON := fanfareRun(t, "publish", "--json", "--transport", "memory://", "--system", "orders", "--to", "*", "--data", "1", "--id", "a")
	var done struct {
		IDs    []string
		Cursor string
	}
	if err := json.Unmarshal([]byte(asJSON.out), &done); err != nil || len(done.IDs) != 1 || done.IDs[0] != "a" || done.Cursor == "" {
		t.Errorf("got %+v; want the id a and a cursor", asJSON)
	}
	down := fanfareRun(t, "publish", "--transport", "redis://127.0.0.1:1/0", "--system", "orders", "--to", "*", "--data", "1")
	if down.code != 1 || strings.Count(down.err, "\n") != 1 {
		t.Errorf("got %+v; want exit code 1 and one line", down)
	}
	bad := fanfareWith(t, `{"to":"*"}`+"\n"+`{"to":"x"}`, nil, "publish", "--transport", "memory://", "--system", "orders", "-")
	if bad.code != 1 || bad.out != "" || !strings.Contains(bad.err, "lines 1 to 2: [1].to: target") {
		t.Errorf("got %+v; want the fault's place and nothing published", bad)
	}
}

func TestSecondSignalEndsTheNodeAtOnce(t *testing.T) {
	n := node(t, nil, "dev", "--drain", "10m")
	url := n.url()
	for range 20 { // enough that some stay for a while
		conn, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/ws?systems=orders&user=alice", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		defer conn.Close()
	}
	n.signal(syscall.SIGTERM)
	n.line(`"msg":"draining"`)
	// While it drains it says so to load balancers.
	answer, err := http.Get(url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while draining, /readyz answers %d; want 503", answer.StatusCode)
	}
	n.signal(syscall.SIGTERM)
	if n.exit() == 0 {
		t.Error("it ended as if it had drained")
	}
}

func TestAdminRoutesAreOnTheirOwnListener(t *testing.T) {
	admin := freeport.Address(t)
	n := node(t, nil, "dev", "--admin_listen", admin)
	url := n.url()
	for path, want := range map[string]int{
		url + "/healthz": 200, url + "/metrics": 404, url + "/docs": 404,
		"http://" + admin + "/metrics": 200, "http://" + admin + "/openapi.json": 200, "http://" + admin + "/docs": 200, "http://" + admin + "/healthz": 200,
	} {
		answer, err := http.Get(path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d; want %d", path, answer.StatusCode, want)
		}
	}
}

func TestProfilesAreOnTheAdminListenerAndOnlyWhenAsked(t *testing.T) {
	for _, on := range []bool{false, true} {
		admin := freeport.Address(t)
		n := node(t, []string{"FANFARE_AUTH_JWT_SECRET=" + secret}, "serve", "--admin_listen", admin, fmt.Sprintf("--admin.pprof=%v", on))
		url := n.url()
		if on {
			n.line("admin.pprof is on")
		}
		want := map[bool]int{true: 200, false: 404}[on]
		for path, want := range map[string]int{
			url + "/debug/pprof/": 404, url + "/debug/pprof/heap": 404,
			"http://" + admin + "/debug/pprof/": want, "http://" + admin + "/debug/pprof/heap": want,
			"http://" + admin + "/debug/pprof/profile?seconds=1": want, "http://" + admin + "/metrics": 200,
		} {
			answer, err := http.Get(path)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("admin.pprof %v, %s: %d; want %d", on, path, answer.StatusCode, want)
			}
		}
	}
}

func TestNodeStartsBesideAServiceOfAPlatform(t *testing.T) {
	n := node(t, []string{"FANFARE_REDIS_SERVICE_HOST=10.0.0.1", "FANFARE_PORT=tcp://10.0.0.1:80"}, "dev", "--log.level", "debug")
	n.line("FANFARE_REDIS_SERVICE_HOST")
	n.url()
}

// A token has to name all that its user may send to, also the system itself.
func TestTokenThatMaySendToTheSystemItself(t *testing.T) {
	n := node(t, []string{"FANFARE_AUTH_JWT_SECRET=" + secret}, "serve", "--systems", "orders")
	for grant, want := range map[string]string{"orders/inbound": `"op":"ok","ref":1`, "orders/*": "it needs orders/inbound"} {
		token := fanfareWith(t, "", []string{"FANFARE_AUTH_JWT_SECRET=" + secret}, "token", "--user", "alice", "--systems", "orders", "--send", grant)
		header := http.Header{"Authorization": {"Bearer " + strings.TrimSpace(token.out)}, "Sec-WebSocket-Protocol": {"fanfare.v1.json"}}
		conn, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(n.url(), "http")+"/ws?systems=orders", header)
		if err != nil {
			t.Fatalf("%v %+v", err, token)
		}
		defer conn.Close()
		defer answer.Body.Close()
		if err := errors.Join(conn.WriteMessage(websocket.TextMessage, []byte(`{"op":"send","ref":1,"system":"orders","data":1}`)),
			conn.SetReadDeadline(time.Now().Add(deadline))); err != nil {
			t.Fatal(err)
		}
		for got := ""; !strings.Contains(got, want); {
			_, frame, err := conn.ReadMessage()
			if got = string(frame); err != nil || strings.Contains(got, `"ref":1`) && !strings.Contains(got, want) {
				t.Fatalf("with %s: %s, %v; want %s", grant, got, err, want)
			}
		}
	}
}

// Without a bridge nothing is moved, and the command says so for each system, also
// for one that nothing was published to.
func TestMoveWithoutABridgeDoesNothing(t *testing.T) {
	got := fanfareRun(t, "move", "--from", "memory://old", "--to", "memory://new", "--systems", "quiet,orders", "--wait", "500ms")
	if got.code != 1 || got.out != "" || strings.Count(got.err, "\n") != 2 {
		t.Errorf("got %+v; want exit code 1, a line for each, and nothing moved", got)
	}
	for _, want := range []string{"fanfare.quiet", "fanfare.orders", "no bridge is seen", "nothing was done", "fanfare bridge"} {
		if !strings.Contains(got.err, want) {
			t.Errorf("it says %s; want %q in it", got.err, want)
		}
	}
}

// Settings can be checked where the issuer of tokens cannot be reached.
func TestCheckingSettingsAsksNoIssuer(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and answers nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })
	issuer := "--auth.jwt.issuer=http://" + mute.Addr().String()
	got := fanfareRun(t, "config", "check", "--auth.jwt.discovery", issuer, "--auth.jwt.jwks_timeout", "1m",
		"--auth.jwt.audience", "*", "--auth.jwt.claims.systems", "resource_access.push.systems", "--auth.jwt.default.rooms", "chat/*,orders/*")
	if got.code != 0 || !strings.Contains(got.out, "the settings are good") {
		t.Errorf("exit code %d: %s%s", got.code, got.out, got.err)
	}
	// Connections are accepted in the order in which they came: ours is the first.
	ours, err := net.Dial("tcp", mute.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	first, err := mute.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if first.RemoteAddr().String() != ours.LocalAddr().String() {
		t.Error("the issuer was asked")
	}
}
