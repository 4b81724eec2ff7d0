package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// controlledNode starts a protected node with presence, and returns it with the environment
// that lets a command do everything there, and one that lets it publish alone.
func controlledNode(t *testing.T, args ...string) (n *process, may, mayNot []string) {
	t.Helper()
	key := func(scopes string) (key, entry string) {
		got := fanfareRun(t, "key", "--name", "ops", "--scopes", scopes)
		key, entry, _ = strings.Cut(strings.TrimPrefix(got.out, "key:   "), "\nentry: ")
		if got.code != 0 || entry == "" {
			t.Fatalf("%+v", got)
		}
		return key, strings.TrimSpace(entry)
	}
	full, first := key("admin+presence/chat+members/chat")
	other, second := key("publish/chat")
	n = node(t, nil, append([]string{
		"serve", "--transport", "memory://", "--systems", "chat", "--auth.jwt.secret", secret,
		"--auth.api_keys", first + "," + second, "--node", "n1",
	}, args...)...)
	url := "FANFARE_URL=" + n.url()
	return n, []string{url, "FANFARE_KEY=" + full}, []string{url, "FANFARE_KEY=" + other}
}

// alice starts a client, and waits until it has a session.
func alice(t *testing.T, n *process) *process {
	t.Helper()
	token := fanfareRun(t, "token", "--auth.jwt.secret", secret, "--user", "alice", "--systems", "chat", "--rooms", "chat/*")
	p := start(t, []string{"FANFARE_TOKEN=" + strings.TrimSpace(token.out)},
		"listen", "--url", n.url(), "--systems", "chat", "--rooms", "chat/lobby")
	p.line(`"op":"hello"`)
	return p
}

func TestControllingARealNode(t *testing.T) {
	n, may, mayNot := controlledNode(t, "--presence.systems", "chat", "--presence.grace", "100ms")
	run := func(words string) result { t.Helper(); return fanfareWith(t, "", may, strings.Fields(words)...) }
	want := func(got result, code int, out, err string) {
		t.Helper()
		if got.code != code || !strings.Contains(got.out, out) || !strings.Contains(got.err, err) {
			t.Errorf("got %+v; want %d, %q, %q", got, code, out, err)
		}
	}
	p := alice(t, n)
	want(run("nodes"), 0, "*n1", "")
	want(run("who --system chat"), 0, "1 user in chat\nUSER   SESSIONS  SINCE\nalice  1         20", "")
	want(run("who --system chat --room lobby --user alice"), 0, "alice  1", "")
	want(run("who --system chat --user bob"), 0, "bob is not in chat", "")

	want(run("members add alice --system chat --room a/b --ttl 1h"), 0, "applied by 1 of 1 node (", "")
	p.line(`"op":"joined"`)
	want(run("members list --system chat --room a/b"), 0, "USER   UNTIL\nalice  20", "")
	want(run("members remove alice --system chat --room a/b"), 0, "applied by 1 of 1 node (", "")
	p.line(`"op":"left"`)
	want(run("members list --system chat --room a/b"), 0, "no members in chat/a/b", "")

	want(run("disconnect alice --reason bye --no-reconnect"), 0, "n1    applied", "")
	if code := p.exit(); code != 1 || !strings.Contains(p.output(), `"reason":"bye"`) {
		t.Errorf("alice ended with %d: %s", code, p.output())
	}
	n.until("nobody", func() bool { return strings.Contains(run("who --system chat").out, "0 users in chat") })

	p = alice(t, n)
	var hello struct{ Session string }
	if err := json.Unmarshal([]byte(p.line(`"op":"hello"`)), &hello); err != nil {
		t.Fatal(err)
	}
	want(run("disconnect --no-reconnect --code 4321 --session "+hello.Session), 0, "applied by 1 of 1", "")
	p.line("4321")

	p = alice(t, n)
	want(run("block alice --ttl 1h --reason spam"), 0, "applied by 1 of 1", "")
	p.line("4003")
	p = start(t, p.cmd.Env, p.cmd.Args[1:]...)
	p.line("403 Forbidden: blocked")
	want(run("unblock alice"), 0, "applied by 1 of 1", "")

	p = alice(t, n)
	want(run("revoke --user alice --issued-before 9999999999"), 0, "applied by 1 of 1", "")
	p.line("the token was revoked")

	for words, scope := range map[string]string{
		"nodes": "admin", "block alice": "admin", "who --system chat": "presence/chat",
		"members add alice --system chat --room r": "members/chat",
	} {
		want(fanfareWith(t, "", mayNot, strings.Fields(words)...), 1, "", "it needs the scope "+scope)
	}
	want(run("who --system orders"), 1, "", "it needs the scope presence/orders")
}

func TestWithoutAControlPlaneCommandsSaySo(t *testing.T) {
	_, may, _ := controlledNode(t, "--control.disabled")
	for _, words := range []string{"nodes", "block alice", "who --system chat", "members list --system chat --room r"} {
		got := fanfareWith(t, "", may, strings.Fields(words)...)
		if got.code != 1 || !strings.Contains(got.err, "the control plane is off: control.disabled") {
			t.Errorf("%s: %+v", words, got)
		}
	}
}
