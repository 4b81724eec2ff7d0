package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A fakeNode answers requests with what it was given, and remembers them.
type fakeNode struct {
	*httptest.Server
	mu   sync.Mutex
	got  []string // guarded by mu
	with http.Header
}

// answering starts a node that gives these answers, each a status and a body, one after
// the other, and the last one again and again.
func answering(t *testing.T, answers ...string) *fakeNode {
	t.Helper()
	n := &fakeNode{}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n.mu.Lock()
		i := min(len(n.got), len(answers)-1)
		n.got = append(n.got, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+string(body)))
		n.with = r.Header
		n.mu.Unlock()
		var status int
		_, text, _ := strings.Cut(answers[i], " ")
		fmt.Sscan(answers[i], &status)
		if status == 301 {
			w.Header().Set("Location", text)
		}
		w.WriteHeader(status)
		fmt.Fprintln(w, text)
	}))
	t.Cleanup(n.Close)
	return n
}

// run runs a command against the node. The words of the command are separated by spaces.
func (n *fakeNode) run(t *testing.T, words string) result {
	t.Helper()
	return fanfareWith(t, "", []string{"FANFARE_URL=" + n.URL, "FANFARE_KEY=k"}, strings.Fields(words)...)
}

const bothApplied = `200 {"id":"01X","applied":["n1","node-two"],"pending":[]}`

func TestOrdersAskTheNode(t *testing.T) {
	for _, tt := range []struct{ words, want, what string }{
		{"disconnect alice", `POST /v1/users/alice/disconnect?wait=2s {"reconnect":true}`, "disconnect alice"},
		{"disconnect a/b%ü --reason bye --code 4321 --no-reconnect --wait 500ms", `POST /v1/users/a%2Fb%25%C3%BC/disconnect?wait=500ms {"reason":"bye","code":4321,"reconnect":false}`, "disconnect a/b%ü"},
		{"disconnect ..", `POST /v1/users/%2E%2E/disconnect?wait=2s {"reconnect":true}`, "disconnect .."},
		{"disconnect --session 01S", `POST /v1/sessions/01S/disconnect?wait=2s {"reconnect":true}`, "disconnect session 01S"},
		{"rebalance n1", `POST /v1/nodes/n1/rebalance?wait=2s {"rate":50}`, "rebalance n1"},
		{"rebalance a/b --rate 200/s --sessions 7", `POST /v1/nodes/a%2Fb/rebalance?wait=2s {"rate":200,"sessions":7}`, "rebalance a/b"},
		{"rebalance n1 --rate 5", `POST /v1/nodes/n1/rebalance?wait=2s {"rate":5}`, "rebalance n1"},
		{"rebalance n1 --stop", `DELETE /v1/nodes/n1/rebalance?wait=2s`, "stop rebalancing n1"},
		{"block alice", `PUT /v1/users/alice/block?wait=2s {}`, "block alice"},
		{"block alice --ttl 1h --reason spam", `PUT /v1/users/alice/block?wait=2s {"reason":"spam","ttl":3600}`, "block alice"},
		{"unblock alice", `DELETE /v1/users/alice/block?wait=2s`, "unblock alice"},
		{"revoke --jti t1 --ttl 60s", `POST /v1/tokens/revoke?wait=2s {"jti":"t1","ttl":60}`, "revoke token t1"},
		{"revoke --user alice", `POST /v1/tokens/revoke?wait=2s {"user":"alice"}`, "revoke tokens of alice"},
		{"revoke --user alice --issued-before 1764509100.5", `POST /v1/tokens/revoke?wait=2s {"user":"alice","issued_before":1764509100.5}`, "revoke tokens of alice"},
		{"revoke --user alice --issued-before 2026-11-30T12:00:00Z", `POST /v1/tokens/revoke?wait=2s {"user":"alice","issued_before":"2026-11-30T12:00:00Z"}`, "revoke tokens of alice"},
		{"members add alice --system chat --room a/b --ttl 1h", `PUT /v1/systems/chat/rooms/a%2Fb/members/alice?wait=2s {"ttl":3600}`, "add alice, chat/a/b"},
		{"members remove alice --system chat --room lobby", `DELETE /v1/systems/chat/rooms/lobby/members/alice?wait=2s`, "remove alice, chat/lobby"},
	} {
		n := answering(t, bothApplied)
		got := n.run(t, tt.words)
		want := tt.what + ": applied by 2 of 2 nodes (01X)\nNODE      STATE\nn1        applied\nnode-two  applied\n"
		if got.code != 0 || got.out != want || got.err != "" {
			t.Errorf("%s: %+v", tt.words, got)
		}
		if len(n.got) != 1 || n.got[0] != tt.want || n.with.Get("Authorization") != "Bearer k" {
			t.Errorf("%s: asked %q with %v; want %q", tt.words, n.got, n.with, tt.want)
		}
	}
}

// Whoever disconnects somebody in a script learns from the exit code whether it is done.
func TestExitCodesOfOrdersAreHonest(t *testing.T) {
	for name, tt := range map[string]struct {
		words, answer string
		code          int
		out, err      string
	}{
		"done":         {"unblock alice", bothApplied, 0, "applied by 2 of 2", ""},
		"pending":      {"unblock alice", `200 {"id":"01X","applied":["n1"],"pending":["n2","n3"]}`, 3, "applied by 1 of 3 nodes", "after 2s still pending on n2, n3"},
		"pending json": {"unblock alice --json", `200 {"id":"01X","applied":[],"pending":["n2"]}`, 3, `{"id":"01X","applied":[],"pending":["n2"]}` + "\n", "n2"},
		"no wait":      {"unblock alice --wait 0s", `202 {"id":"01X"}`, 0, "unblock alice: the bus has it (01X)\n", ""},
		"json":         {"unblock alice --json", `200 {"id":"01X","applied":["n1"],"pending":[]}`, 0, `{"id":"01X","applied":["n1"],"pending":[]}` + "\n", ""},
		"no key":       {"unblock alice", `401 {"status":401,"detail":"this needs an API key"}`, 1, "", "give it with --key or FANFARE_KEY"},
		"no scope":     {"unblock alice", `403 {"status":403,"detail":"it needs the scope admin"}`, 1, "", "it needs the scope admin (`fanfare key --scopes` makes a key that has it)"},
		"off":          {"unblock alice", `501 {"status":501,"detail":"the control plane is off: control.disabled is set on this node"}`, 1, "", "control.disabled"},
		"bus down":     {"unblock alice", `503 {"status":503,"detail":"it goes on trying; repeating is safe"}`, 1, "", "repeating is safe"},
		"full":         {"block alice", `429 {"status":429,"detail":"too many facts"}`, 1, "", "too many facts"},
		"invalid":      {"block alice", `422 {"status":422,"detail":"nothing was done","errors":[{"location":"reason","message":"too long"}]}`, 1, "", "reason: too long"},
		"not a node":   {"unblock alice", `200 {}`, 1, "", "is there a Fanfare node at this URL?"},
		"no JSON":      {"unblock alice", `200 <html>`, 1, "", "is there a Fanfare node at this URL?"},
		"an array":     {"unblock alice", `200 []`, 1, "", "cannot be read"},
		"a redirect":   {"unblock alice", `301 https://push.example.com/x`, 1, "", "leads to https://push.example.com: give that with --url"},
	} {
		t.Run(name, func(t *testing.T) {
			n := answering(t, tt.answer)
			got := n.run(t, tt.words)
			if got.code != tt.code || !strings.Contains(got.out, tt.out) || !strings.Contains(got.err, tt.err) || tt.err == "" && got.err != "" || tt.code == 1 && got.out != "" {
				t.Errorf("got %+v", got)
			}
			if len(n.got) != 1 {
				t.Errorf("asked %q", n.got)
			}
		})
	}
	got := fanfareRun(t, "unblock", "alice", "--url", "http://u:hunter2@127.0.0.1:1")
	if got.code != 1 || !strings.Contains(got.err, "no answer from a node at http://127.0.0.1:1 (see --url)") || strings.Contains(got.err, "hunter2") {
		t.Errorf("nobody there: %+v", got)
	}
}

func TestWhoIsPrinted(t *testing.T) {
	first := `{"system":"chat","room":"lobby","count":3,"users":[{"user":"alice","sessions":12,"since":"2026-11-30T13:25:00.123Z"},{"user":"bob the second","sessions":1}],"next":"bob the second","complete":true}`
	second := `{"system":"chat","room":"lobby","count":3,"users":[{"user":"c\u202ed","sessions":0}],"complete":true}`
	head := "3 users in chat/lobby\nUSER            SESSIONS  SINCE\n"
	two := "alice           12        2026-11-30T13:25:00Z\nbob the second  1         -\n"
	page1, page2 := "GET /v1/systems/chat/presence?limit=100&room=lobby", "GET /v1/systems/chat/presence?after=bob+the+second&limit=1000&room=lobby"
	for _, tt := range []struct {
		words    string
		asked    []string
		out, err string
	}{
		{"who --system chat --room lobby", []string{page1}, head + two, "fanfare: 1 more: see --all and --after\n"},
		{"who --system chat --room lobby --after a --limit 2", []string{"GET /v1/systems/chat/presence?after=a&limit=2&room=lobby"}, head + two, "fanfare: there are more: see --all and --after\n"},
		{"who --system chat --room lobby --all", []string{strings.Replace(page1, "100", "1000", 1), page2}, head + two + "\"c\\u202ed\"      0         -\n", ""},
		{"who --system chat --room lobby --all --json", []string{strings.Replace(page1, "100", "1000", 1), page2}, first + "\n" + second + "\n", ""},
		{"who --system chat --room lobby --json", []string{page1}, first + "\n", ""},
	} {
		n := answering(t, "200 "+first, "200 "+second)
		got := n.run(t, tt.words)
		if got.code != 0 || got.out != tt.out || got.err != tt.err || strings.Join(n.got, "\n") != strings.Join(tt.asked, "\n") {
			t.Errorf("%s: %+v, asked %q", tt.words, got, n.got)
		}
	}
	n := answering(t, `200 {"system":"chat","count":7,"users":[{"user":"alice","sessions":1}],"complete":false}`)
	got := n.run(t, "who --system chat --user alice")
	if got.code != 0 || got.out != "USER   SESSIONS  SINCE\nalice  1         -\n" || !strings.Contains(got.err, "users may be missing") || n.got[0] != "GET /v1/systems/chat/presence?user=alice" {
		t.Errorf("one user: %+v, asked %q", got, n.got)
	}
	n = answering(t, `200 {"system":"chat","count":0,"users":[],"complete":true}`)
	if got := n.run(t, "who --system chat --user alice"); got.code != 0 || got.out != "alice is not in chat\n" || got.err != "" {
		t.Errorf("nobody: %+v", got)
	}
	if got := n.run(t, "who --system chat"); got.code != 0 || got.out != "0 users in chat\n" {
		t.Errorf("nobody: %+v", got)
	}
	n = answering(t, `200 {"users":[{"user":"a"}],"next":"a"}`)
	if got := n.run(t, "who --system chat --all"); got.code != 1 || len(n.got) != 2 || !strings.Contains(got.err, "do not come to an end") {
		t.Errorf("no end: %+v, asked %d times", got, len(n.got))
	}
	n = answering(t, `404 {"status":404,"detail":"presence is not kept for system chat: it is not in presence.systems"}`)
	if got := n.run(t, "who --system chat"); got.code != 1 || !strings.Contains(got.err, "presence.systems") {
		t.Errorf("no presence: %+v", got)
	}
}

func TestMembersArePrinted(t *testing.T) {
	n := answering(t, `200 {"members":[{"user":"alice","expires":"2026-12-01T00:00:00Z"}],"next":"alice"}`, `200 {"members":[{"user":"bob","expires":"2026-12-02T00:00:00Z"}]}`)
	got := n.run(t, "members list --system chat --room lobby")
	if got.code != 0 || got.out != "USER   UNTIL\nalice  2026-12-01T00:00:00Z\n" || !strings.Contains(got.err, "there are more") {
		t.Errorf("got %+v", got)
	}
	if got = n.run(t, "members list --system chat --room lobby"); got.code != 0 || !strings.HasPrefix(got.out, "USER") || got.err != "" {
		t.Errorf("the last page: %+v", got)
	}
	if n.got[0] != "GET /v1/systems/chat/rooms/lobby/members?limit=100" {
		t.Errorf("asked %q", n.got)
	}
	n = answering(t, `200 {"members":[]}`)
	if got := n.run(t, "members list --system chat --room lobby"); got.code != 0 || got.out != "no members in chat/lobby\n" {
		t.Errorf("no members: %+v", got)
	}
}

func TestNodesArePrinted(t *testing.T) {
	answer := `{"nodes":[{"name":"n1","version":"v1","self":true,"sessions":1200,"users":800,"systems":["chat"],"lag_ms":3,"heard_ms":0,"clock_ahead_ms":0,"in_step":true},` +
		`{"name":"node-two","sessions":1,"users":1,"lag_ms":0,"heard_ms":1800,"clock_ahead_ms":-600000,"in_step":false},{"name":"n3","draining":true,"in_step":true}]}`
	n := answering(t, "200 "+answer)
	got := n.run(t, "nodes")
	want := ` NODE      VERSION  SESSIONS  USERS  LAG  HEARD  CLOCK   STATE
*n1        v1       1200      800    3ms  -      0s      in step
 node-two  -        1         1      0s   1.8s   -10m0s  catching up
 n3        -        0         0      0s   0s     0s      draining
`
	if got.code != 0 || got.out != want || got.err != "" {
		t.Errorf("got %+v", got)
	}
	if got := n.run(t, "nodes --json"); got.out != answer+"\n" {
		t.Errorf("got %+v", got)
	}
}

// What cannot have been meant is refused before any node is asked.
func TestOrdersThatCannotHaveBeenMeant(t *testing.T) {
	n := answering(t, bothApplied)
	for words, want := range map[string]string{
		"disconnect":                                       "want either USER or --session ID",
		"disconnect alice --session x":                     "want either USER or --session ID",
		"disconnect alice bob":                             "want one USER, not 2",
		"disconnect alice --wait 31s":                      "--wait: 31s: want a time from 0s to 30s",
		"disconnect alice --wait -1s":                      "--wait: -1s",
		"disconnect a\x01":                                 "USER: a name must not hold control characters",
		"block":                                            "want the name of a user",
		"block alice --ttl 1.5s":                           "--ttl: 1.5s: want whole seconds",
		"block alice --ttl -1s":                            "--ttl: -1s",
		"unblock alice --reson x":                          "unknown flag --reson",
		"revoke":                                           "want either --jti ID or --user USER",
		"revoke --jti a --user b":                          "want either --jti ID or --user USER",
		"revoke --jti a --issued-before 1":                 "--issued-before goes with --user",
		"revoke --user a --issued-before yesterday":        `--issued-before: "yesterday": want a time`,
		"revoke --user a --issued-before NaN":              `--issued-before: "NaN"`,
		"who":                                              "want --system NAME",
		"who --system chat --room a\x01":                   "--room: a name must not hold control",
		"who --system chat --room=":                        "--room: a name must not be empty",
		"who --system chat --limit 0":                      "--limit: 0: want a number from 1 to 1000, or --all",
		"who --system chat --user a --all":                 "do not go with --user",
		"members":                                          "",
		"members addd alice":                               `unknown command "addd": did you mean add?`,
		"members add alice --system chat":                  "--room: a name must not be empty",
		"members add alice --room r":                       "want --system NAME",
		"members list --system chat --room r --limit 9999": "--limit: 9999",
		"nodes x":                                          "takes flags only",
		"sessions":                                         "want the name of a user",
		"sessions a b":                                     "want one USER, not 2",
		"sessions a\x01":                                   "USER: a name must not hold control characters",
	} {
		got := n.run(t, words)
		if words == "members" {
			if got.code != 0 || !strings.Contains(got.out, "remove") {
				t.Errorf("%s: %+v", words, got)
			}
			continue
		}
		if got.code != 2 || got.out != "" || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v; want %q", words, got, want)
		}
	}
	if len(n.got) > 0 {
		t.Errorf("asked %q", n.got)
	}
}

func TestSessionsArePrinted(t *testing.T) {
	answer := `{"user":"alice","sessions":[` +
		`{"id":"01A","node":"n1","port":"ws","address":"203.0.113.7","connected":"2026-11-30T13:25:00Z","expires":"2026-11-30T14:25:00Z","pending_frames":7,` +
		`"systems":[{"system":"chat","state":"live","rooms":["lobby"],"assigned":["vip"]},{"system":"orders","state":"behind","gap":"overflow","more_rooms":3}]},` +
		`{"id":"01B","node":"n2","port":"sse","connected":"2026-11-30T13:26:00Z","going":true,"pending_frames":0,"systems":[]}],` +
		`"complete":false,"silent":["n3"],"failed":[{"node":"n4","error":"unknown"}],"more":1}`
	n := answering(t, "200 "+answer)
	want := `SESSION  NODE        PORT  ADDRESS      SINCE                 TOKEN UNTIL           PENDING  SYSTEM  STATE                 ROOMS
01A      n1          ws    203.0.113.7  2026-11-30T13:25:00Z  2026-11-30T14:25:00Z  7        chat    live                  lobby +vip
                                                                                             orders  behind, gap overflow  and 3 more
01B      n2 (going)  sse                2026-11-30T13:26:00Z  -                     0        -       -                     -
`
	problems := "fanfare: node n4 has no answer: unknown\nfanfare: not answered in time by n3: sessions may be missing\nfanfare: 1 more session\n"
	if got := n.run(t, "sessions alice"); got.code != 0 || got.out != want || got.err != problems {
		t.Errorf("got %+v", got)
	}
	if got := n.run(t, "sessions a/b --json"); got.code != 0 || got.out != answer+"\n" || n.got[1] != "GET /v1/users/a%2Fb/sessions" {
		t.Errorf("got %+v, asked %q", got, n.got)
	}
	n = answering(t, `200 {"user":"alice","sessions":[],"complete":false}`)
	if got := n.run(t, "sessions alice"); got.code != 0 || got.out != "alice has no sessions\n" || !strings.Contains(got.err, "which nodes are alive") {
		t.Errorf("got %+v", got)
	}
}
