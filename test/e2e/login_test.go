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

// A system that nobody follows does not fill Redis, not even if only `fanfare
// publish --transport` publishes to it.
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

// A node whose user is deleted while it runs, and made again later: publishing is
// refused meanwhile, and a client has missed nothing on streams, and is told a gap
// on channels.
func TestAUserThatIsDeletedUnderARunningNode(t *testing.T) {
	needs(t, "redis-server")
	for _, bus := range []struct{ scheme, user string }{{"redis-streams", "node"}, {"redis", "channels-node"}} {
		t.Run(bus.scheme, func(t *testing.T) {
			r := broker.Redis(t)
			r.SetUser(bus.user)
			c := newCluster(t, 1, fmt.Sprintf("%s://%s:secret@%s/0", bus.scheme, bus.user, r.Addr()), nil)
			alice := visit(t, c, 0, "")
			wants := func(name, data string) {
				t.Helper()
				got, err := alice.next(name)
				if err != nil || name == "message" && string(got.Data) != data {
					t.Fatalf("want %s %s: %+v, %v", name, data, got, err)
				}
			}
			post := func(n int) int {
				t.Helper()
				a, err := c.post("orders", fmt.Sprintf(`{"to":"user:alice","data":%d}`, n))
				if err != nil {
					t.Fatal(err)
				}
				return a.status
			}
			wants("hello", "")
			if got := post(1); got != http.StatusAccepted {
				t.Fatal(got)
			}
			wants("message", "1")

			r.CLI("ACL", "DELUSER", bus.user)
			for range 10 {
				if got := post(2); got != http.StatusServiceUnavailable {
					t.Fatalf("status %d though the user is gone", got)
				}
			}
			eventually(t, 20*time.Second, "the log says why", func() error {
				if log := c.nodes[0].log.String(); !strings.Contains(log, "publishing failed") || !strings.Contains(log, "WRONGPASS") {
					return fmt.Errorf("it does not")
				}
				return nil
			})
			if bus.scheme == "redis" {
				r.CLI("PUBLISH", "fanfare.orders", `{"to":"user:alice","data":3}`)
			} else {
				r.CLI("XADD", "fanfare.orders", "*", "to", "user:alice", "data", "3")
			}
			r.SetUser(bus.user)
			eventually(t, 20*time.Second, "publishing works again", func() error {
				if got := post(4); got != http.StatusAccepted {
					return fmt.Errorf("status %d", got)
				}
				return nil
			})
			if bus.scheme == "redis" {
				wants("gap", "")
			} else {
				wants("message", "3")
				wants("message", "4")
			}
			if log := c.nodes[0].log.String(); strings.Count(log, "\n") > 60 {
				t.Errorf("the log is long: %s", log)
			}
		})
	}
}
