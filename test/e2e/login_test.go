package e2e_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
)

// A node and a publisher whose password is wrong publish nothing, and say so.
func TestAWrongPasswordIsNeverASuccess(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t, "--requirepass", "right")
	for _, scheme := range []string{"redis", "redis-streams"} {
		for _, login := range []string{":wrong-pw@", "", "nobody:right@"} {
			t.Run(scheme+"://"+login, func(t *testing.T) {
				rawURL := scheme + "://" + login + r.Addr() + "/0"
				c := newCluster(t, 1, rawURL, nil)
				a, err := c.post("orders", `{"to":"user:alice","data":1}`)
				if err != nil || a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "refuses") {
					t.Errorf("%v %d %s", err, a.status, a.body)
				}
				cmd := exec.Command(fanfareBinary, "publish", "--transport", rawURL, "--system", "orders", "--to", "user:alice", "--data", "1")
				cmd.Env = environ(nil)
				out, err := cmd.CombinedOutput()
				code := "WRONGPASS"
				if login == "" {
					code = "NOAUTH"
				}
				if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), code) || !strings.Contains(string(out), "none of it is on the bus") {
					t.Errorf("fanfare publish: %v: %s", err, out)
				}
				if n, err := r.Client().Exists(t.Context(), "fanfare.orders").Result(); n != 0 || err != nil {
					t.Errorf("the stream is there: %d, %v", n, err)
				}
				c.nodes[0].end()
				log := c.nodes[0].log.String()
				for _, want := range []string{"publishing failed", "the bus is down", code} {
					if !strings.Contains(log, want) {
						t.Errorf("the node's log does not hold %q", want)
					}
				}
				if strings.Contains(log+string(out)+a.body, "wrong-pw") {
					t.Error("the password is shown")
				}
			})
		}
	}
}

// A system that is published to and followed by nobody does not fill Redis: nor
// does one that only `fanfare publish --transport` writes.
func TestWhatNobodyFollowsIsTrimmed(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	c := newCluster(t, 1, r.URL("redis-streams")+"?retention=1m", settings{"SYSTEMS": "*"})
	db := r.Client()
	overdue := func(topic string) {
		t.Helper()
		old := time.Now().Add(-2 * time.Minute).UnixMilli()
		pipe := db.Pipeline()
		for i := range 1000 {
			pipe.Do(t.Context(), "XADD", topic, fmt.Sprintf("%d-%d", old, i+1), "to", "*", "data", "1")
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	short := func(topic string) {
		t.Helper()
		eventually(t, 20*time.Second, topic+" is short", func() error {
			n, err := db.XLen(t.Context(), topic).Result()
			if err == nil && (n == 0 || n > 100) {
				err = fmt.Errorf("%d entries", n)
			}
			return err
		})
	}
	overdue("fanfare.quiet")
	if a, err := c.post("quiet", `{"to":"user:alice","data":1}`); err != nil || a.status != http.StatusAccepted {
		t.Fatalf("%v %d %s", err, a.status, a.body)
	}
	short("fanfare.quiet")

	overdue("fanfare.batch")
	cmd := exec.Command(fanfareBinary, "publish", "--transport", r.URL("redis-streams")+"?retention=1m",
		"--system", "batch", "--to", "user:alice", "--data", "1")
	cmd.Env = environ(nil)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	short("fanfare.batch")
}
