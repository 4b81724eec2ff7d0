package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// commandLine does with the command what the API does.
func commandLine(t *testing.T, c *cluster, p *controlled) {
	fanfare := func(code int, args ...string) string {
		t.Helper()
		cmd := exec.Command(fanfareBinary, append(args, "--url", "http://"+p.front)...)
		cmd.Env = environ(settings{"KEY": c.key})
		var problems strings.Builder
		cmd.Stderr = &problems
		out, err := cmd.Output()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("fanfare %v: exit code %d, want %d: %v\n%s%s", args, got, code, err, out, &problems)
		}
		return string(out) + problems.String()
	}
	says := func(text string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("want %q in %s", word, text)
			}
		}
	}
	alice := p.pass("alice", nil)
	phone := p.mustConnect(t, overV1, p.nodes[1].addr, alice, "&rooms=orders/desk")
	p.wantPresent(t, 10*time.Second, "desk", "alice")
	says(fanfare(0, "who", "--system", "orders", "--room", "desk"), "alice")
	eventually(t, time.Minute, "alice's session is printed", func() error {
		text := fanfare(0, "sessions", "alice")
		for _, word := range []string{p.nodes[1].name, "ws", "127.0.0.1", "orders", "live", "desk"} {
			if !strings.Contains(text, word) {
				return fmt.Errorf("want %q in %s", word, text)
			}
		}
		return nil
	})
	watchIsPrinted(t, c, p)
	says(fanfare(0, "nodes"), p.names()...)
	var nodes struct{ Nodes []struct{ Name string } }
	if out := fanfare(0, "nodes", "--json"); json.Unmarshal([]byte(out), &nodes) != nil || len(nodes.Nodes) != len(p.nodes) {
		t.Errorf("fanfare nodes --json printed %s", out)
	}
	says(fanfare(0, "disconnect", "alice", "--reason", "by hand", "--wait", "2s"), p.names()...)
	if end := phone.ends(t, 4009); end.reason != "by hand" {
		t.Errorf("the reason is %q", end.reason)
	}

	phone = p.mustConnect(t, overV1, p.nodes[1].addr, alice, "")
	fanfare(0, "members", "add", "alice", "--system", "orders", "--room", "desk", "--wait", "2s")
	phone.wants(t, "joined", func(n notice) bool { return n.Op == "joined" && n.Room == "desk" })
	says(fanfare(0, "members", "list", "--system", "orders", "--room", "desk"), "alice")
	fanfare(0, "members", "remove", "alice", "--system", "orders", "--room", "desk", "--wait", "2s")
	phone.wants(t, "left", func(n notice) bool { return n.Op == "left" && n.Room == "desk" })

	fanfare(0, "block", "alice", "--ttl", "1h", "--reason", "by hand", "--wait", "2s")
	phone.ends(t, 4003)
	for _, n := range p.nodes {
		p.wantRefused(t, n, alice, http.StatusForbidden, "blocked", "by hand")
	}
	fanfare(0, "unblock", "alice", "--wait", "2s")
	for _, n := range p.nodes {
		p.mustConnect(t, overV1, n.addr, alice, "").shut()
	}

	mustFail := exec.Command(fanfareBinary, "disconnect", "alice", "--url", "http://"+p.front)
	mustFail.Env = environ(settings{"KEY": "wrong"})
	if out, err := mustFail.CombinedOutput(); err == nil {
		t.Errorf("with a wrong key fanfare disconnect printed %s", out)
	}
}

// watchIsPrinted watches alice, whose session is on another node than the one that is asked.
func watchIsPrinted(t *testing.T, c *cluster, p *controlled) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, fanfareBinary, "watch", "user:alice", "--system", "orders", "--count", "1",
		"--url", "http://"+p.nodes[0].addr)
	cmd.Env = environ(settings{"KEY": c.key})
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	published := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "watching orders on ") && !published {
			published = true
			r, err := p.ask(p.front, "POST", "/v1/systems/orders/messages", `{"id":"watched","to":"user:alice","data":1}`)
			if err != nil || r.status != http.StatusAccepted {
				t.Errorf("publish: %+v %v", r, err)
			}
		}
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(text.String(), "taken watched to user:alice, 1 bytes") {
		t.Errorf("fanfare watch: %v: %s", err, &text)
	}
}
