package redisconn_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
	"github.com/fanfarebus/fanfare/test/freeport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(rawURL string) (*redisconn.Server, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	params := dsn.NewParams(u)
	s, err := redisconn.Parse(u, params)
	return s, errors.Join(err, params.Err())
}

// works asks the server for a sign of life, on both kinds of connection.
func works(t *testing.T, rawURL string) error {
	t.Helper()
	s, err := parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client := s.Client()
	defer client.Close()
	viaClient := client.Ping(ctx).Err()
	c, err := s.Dial(ctx)
	if err != nil {
		return errors.Join(err, viaClient)
	}
	defer c.Close()
	c.Queue("PING")
	if err := c.Flush(); err != nil {
		return err
	}
	if got, err := c.Text(); err != nil || got != "PONG" {
		return fmt.Errorf("%q, %w", got, err)
	}
	return viaClient
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for rawURL, want := range map[string]string{
		"redis://":                                  "names no host",
		"redis://:6379":                             "names no host",
		"redis://h/x":                               `path "x"`,
		"redis://h/-1":                              `path "-1"`,
		"redis://h:1,i:2":                           "cluster=true",
		"redis://h:1,i:2/0?cluster=false":           "sentinel_master",
		"redis://u:hunter2@h?clustr=true":           `unknown parameter "clustr"`,
		"redis://u:hunter2@h?pool=0":                "pool=0",
		"redis://u:hunter2@h?dial_timeout=x":        "dial_timeout=x",
		"redis://u:hunter2@h?tls_ca=" + missing:     "tls_ca",
		"redis://u:hunter2@h?tls_cert=" + missing:   "tls_cert",
		"redis://u:hunter2@h?tls=perhaps":           "tls=perhaps",
		"redis://u:hunter2@h/x?clustr=true&tls=why": "tls=why",

		"redis://h:1,i:2/1?cluster=true":                     "only database 0",
		"redis://h?cluster=true&sentinel_master=m":           "no sentinels",
		"redis://h?cluster_map=a:1=b:2":                      "needs cluster=true",
		"redis://h?cluster=true&cluster_map=a:1":             "want host:port=host:port",
		"redis://h?cluster=true&cluster_map=a=b:2":           "want host:port=host:port",
		"redis://h?cluster=true&cluster_map=a:1=b:x":         "want host:port=host:port",
		"redis://h?cluster=true&cluster_map=a:1=b:2,a:1=c:2": "a:1 is named twice",
		"redis://h?cluster=perhaps":                          "cluster=perhaps",

		"redis://bob@h":                                           "a user without a password",
		"rediss://u:hunter2@h?tls=false":                          "tls=false: rediss:// means TLS",
		"rediss-streams://u:hunter2@h?tls=0":                      "rediss-streams:// means TLS",
		"redis://u:hunter2@h?tls=false&tls_server_name=h":         "contradicts",
		"redis://u:hunter2@h?tls=true&tls=false":                  `"tls" is given more than once`,
		"redis://h?sentinel_password=hunter2":                     "need sentinel_master",
		"redis://h?sentinel_user=bob":                             "need sentinel_master",
		"redis://h?sentinel_user=bob&sentinel_master=m":           "needs sentinel_password",
		"redis://h?sentinel_pass=hunter2&sentinel_master=m":       `unknown parameter "sentinel_pass"`,
		"redis://h?sentinel_password=hunter2&sentinel_password=x": "more than once",
	} {
		_, err := parse(rawURL)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", rawURL, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is in: %v", err)
		}
	}
	for _, rawURL := range []string{"redis://h", "redis://[::1]", "redis://[::1]:1/3", "redis://h1:1,h2:2?sentinel_master=m"} {
		if _, err := parse(rawURL); err != nil {
			t.Errorf("%s: %v", rawURL, err)
		}
	}
}

func TestPasswordsUsersAndDatabases(t *testing.T) {
	s := broker.Redis(t, "--requirepass", "s3cr:t")
	if err := s.Client().Do(t.Context(), "ACL", "SETUSER", "bob", "on", ">hunter2", "+@all", "~*").Err(); err != nil {
		t.Fatal(err)
	}
	for _, login := range []string{":s3cr%3At", "default:s3cr%3At", "bob:hunter2"} {
		if err := works(t, "redis://"+login+"@"+s.Addr()+"/3"); err != nil {
			t.Errorf("%s: %v", login, err)
		}
	}
	err := works(t, "redis://bob:hunter3@"+s.Addr())
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "hunter") {
		t.Errorf("wrong password: %v", err)
	}
	if !errors.Is(redisconn.Classify(err), domain.ErrBusDown) {
		t.Errorf("not a bus that is down: %v", err)
	}
	if err := works(t, "redis://"+s.Addr()); err == nil {
		t.Error("it works without a password")
	}
	if err := works(t, "redis://bob:hunter2@"+s.Addr()+"/99"); err == nil || !strings.Contains(err.Error(), "range") {
		t.Errorf("no such database: %v", err)
	}
}

func TestTLS(t *testing.T) {
	cert, key := driverkit.Certificate(t)
	ca := cert
	port := freeport.Port(t)
	broker.Redis(t, "--tls-port", fmt.Sprint(port), "--tls-ca-cert-file", ca, "--tls-cert-file", cert, "--tls-key-file", key)
	base := fmt.Sprintf("redis://127.0.0.1:%d?", port)
	for _, query := range []string{
		"tls_ca=" + ca + "&tls_cert=" + cert + "&tls_key=" + key,
		"tls_skip_verify=true&tls_cert=" + cert + "&tls_key=" + key,
		"tls_server_name=broker.test&tls_ca=" + ca + "&tls_cert=" + cert + "&tls_key=" + key,
	} {
		if err := works(t, base+query); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	files := "tls_ca=" + ca + "&tls_cert=" + cert + "&tls_key=" + key
	for _, scheme := range []string{"rediss", "rediss-streams"} { // as redis:// with tls=true
		for query, good := range map[string]bool{files: true, "tls=true&" + files: true, "": false} {
			err := works(t, fmt.Sprintf("%s://127.0.0.1:%d?%s", scheme, port, query))
			if (err == nil) != good || !good && !strings.Contains(err.Error(), "certificate") {
				t.Errorf("%s: %s: %v", scheme, query, err)
			}
		}
	}
	for _, query := range []string{
		"tls=true",     // an authority that we do not trust
		"tls_ca=" + ca, // no certificate of ours
		"tls_server_name=other.test&tls_ca=" + ca + "&tls_cert=" + cert + "&tls_key=" + key,
	} {
		if err := works(t, base+query); err == nil {
			t.Errorf("%s: accepted", query)
		}
	}
}

func TestSentinelsShowTheMaster(t *testing.T) {
	master := broker.Redis(t)
	replica := broker.Redis(t, "--replicaof", "127.0.0.1 "+strings.TrimPrefix(master.Addr(), "127.0.0.1:"))
	sentinel := broker.Sentinel(t, "main", master)
	dead := freeport.Address(t)
	rawURL := "redis://" + dead + "," + sentinel.Addr() + "/0?sentinel_master=main"
	if err := works(t, rawURL); err != nil {
		t.Fatal(err)
	}
	err := works(t, "redis://"+sentinel.Addr()+"?sentinel_master=other")
	if err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("an unknown master: %v", err)
	}

	until(t, func() bool { // the sentinel has found the replica, and it is in step
		return strings.Contains(sentinel.CLI("SENTINEL", "replicas", "main"), "master-link-status\nok")
	})
	if got := sentinel.CLI("SENTINEL", "failover", "main"); got != "OK" {
		t.Fatal(got)
	}
	promoted := replica.Client()
	until(t, func() bool {
		// A failover closes the connections to the server that it promotes: retry on an error.
		role, err := promoted.Do(t.Context(), "ROLE").Slice()
		return err == nil && role[0] == "master" &&
			strings.HasSuffix(replica.Addr(), sentinel.CLI("SENTINEL", "get-master-addr-by-name", "main")[len("127.0.0.1\n"):])
	})
	master.Kill()
	if err := works(t, rawURL); err != nil {
		t.Errorf("after a failover: %v", err)
	}
}

// Sentinels may require a password, or a user and a password, of their own.
func TestSentinelsThatWantALogin(t *testing.T) {
	master := broker.Redis(t, "--requirepass", "hunter-m")
	locked := broker.Sentinel(t, "main", master, "requirepass hunter-s",
		"user bob >hunter-b "+strings.Join(slices.DeleteFunc(broker.ACLs(t)["asker"], isPassword), " "))
	openOne := broker.Sentinel(t, "main", master)
	base := func(hosts, query string) string {
		return "redis://:hunter-m@" + hosts + "?sentinel_master=main" + query
	}
	for _, query := range []string{"&sentinel_password=hunter-s", "&sentinel_user=default&sentinel_password=hunter-s", "&sentinel_user=bob&sentinel_password=hunter-b"} {
		if err := works(t, base(locked.Addr(), query)); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if err := publishes(t, base(locked.Addr(), query)); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	for query, want := range map[string]string{
		"":                            "NOAUTH",
		"&sentinel_password=hunter-m": "log in to the sentinel: WRONGPASS",
		"&sentinel_user=bob&sentinel_password=hunter-s": "log in to the sentinel: WRONGPASS",
	} {
		for _, err := range []error{works(t, base(locked.Addr(), query)), publishes(t, base(locked.Addr(), query))} {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), locked.Addr()) {
				t.Errorf("%s: %v", query, err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter") {
				t.Errorf("a password is in: %v", err)
			}
			if !errors.Is(redisconn.Classify(err), domain.ErrBusDown) {
				t.Errorf("not a bus that is down: %v", err)
			}
		}
	}
	// If one sentinel cannot be reached, the others are asked. A sentinel without a
	// password refuses every login.
	if err := works(t, base(locked.Addr()+","+openOne.Addr(), "")); err != nil {
		t.Errorf("the second sentinel is not asked: %v", err)
	}
	if err := works(t, base(openOne.Addr()+","+locked.Addr(), "&sentinel_password=hunter-s")); err != nil {
		t.Errorf("the second sentinel is not asked: %v", err)
	}
	// The master's password is never sent to the sentinels.
	if err := works(t, "redis://:wrong@"+locked.Addr()+"?sentinel_master=main&sentinel_password=hunter-s"); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("a wrong password of the master: %v", err)
	}
}

func isPassword(rule string) bool { return strings.HasPrefix(rule, ">") }

// publishes publishes one message.
func publishes(t *testing.T, rawURL string) error {
	t.Helper()
	s, err := parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	masters := redisconn.NewMasters(s)
	defer func() { _ = masters.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	pipe := masters.NewPipeline(1)
	pipe.Add("t", redisconn.IsCount, "PUBLISH", "t", "x")
	return errors.Join(pipe.Exec(ctx)...)
}

// With TLS, the connections to the sentinels use TLS as well.
func TestSentinelsWithTLS(t *testing.T) {
	cert, key := driverkit.Certificate(t)
	ca := cert
	files := func(port int) []string {
		return []string{fmt.Sprintf("tls-port %d", port), "tls-ca-cert-file " + ca, "tls-cert-file " + cert, "tls-key-file " + key}
	}
	masterPort, sentinelPort := freeport.Port(t), freeport.Port(t)
	var args []string
	for _, line := range files(masterPort) {
		name, value, _ := strings.Cut(line, " ")
		args = append(args, "--"+name, value)
	}
	master := broker.Redis(t, args...)
	broker.Sentinel(t, "plain", master, append(files(sentinelPort),
		"requirepass hunter-s", fmt.Sprintf("sentinel monitor main 127.0.0.1 %d 1", masterPort))...)
	rawURL := fmt.Sprintf("rediss://127.0.0.1:%d?sentinel_master=main&sentinel_password=hunter-s&tls_ca=%s&tls_cert=%s&tls_key=%s",
		sentinelPort, ca, cert, key)
	if err := works(t, rawURL); err != nil {
		t.Error(err)
	}
	if err := works(t, strings.Replace(rawURL, "=main", "=plain", 1)); err == nil {
		t.Error("a master without TLS is talked to in plain text")
	}
}

// A server that replies to a login with anything but OK is refused.
func TestALoginIsGoodWhenTheServerSaysOK(t *testing.T) {
	for answer, good := range map[string]bool{"+OK\r\n": true, "+QUEUED\r\n": false, ":1\r\n": false, "*0\r\n": false, "$-1\r\n": false} {
		s, err := parse("redis://:p@" + serve(t, func([]string) string { return answer }))
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Dial(t.Context())
		if (err == nil) != good {
			t.Errorf("%q: %v", answer, err)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it did not happen in time")
		}
	}
}
