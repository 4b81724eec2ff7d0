package natsconn_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
	"github.com/fanfarebus/fanfare/test/freeport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(rawURL string) (*natsconn.Server, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	params := dsn.NewParams(u)
	s, err := natsconn.Parse(u, params)
	return s, errors.Join(err, params.Err())
}

// connects returns nil if the server of a URL accepts a connection.
func connects(t *testing.T, rawURL string) error {
	t.Helper()
	s, err := parse(rawURL)
	if err != nil {
		t.Fatalf("%s: %v", rawURL, err)
	}
	c := s.Client()
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := c.Conn(ctx)
	if err == nil {
		err = conn.Sync(ctx)
	}
	return err
}

func TestURLsThatAreWrongAreRefused(t *testing.T) {
	for rawURL, want := range map[string]string{
		"nats://":                          "names no host",
		"nats://:4222":                     "names no host",
		"nats://h/orders":                  "has none",
		"nats://user@h":                    "user:password@",
		"nats://u:p@h?token=x":             "give one of",
		"nats://h?creds=/nowhere":          "creds",
		"nats://h?nkey=/nowhere":           "nkey",
		"nats://h?tls_ca=/nowhere":         "tls_ca",
		"nats://h?tls_cert=/nowhere":       "tls_cert",
		"nats://h?inbox_prefix=a.*":        "inbox_prefix",
		"nats://h?reply_timeout=soon":      "reply_timeout",
		"nats://h?sentinel_master=m":       "sentinel_master",
		"nats://h?ping_interval=1ms":       "ping_interval",
		"nats://h?dial_timeout=0":          "dial_timeout",
		"nats://h?write_timeout=-1s":       "write_timeout",
		"nats://h?tls_skip_verify=perhaps": "tls_skip_verify",
		"nats://h?reply_timeout=2h":        "at most 1h0m0s",
		"nats://h?ping_interval=":          "ping_interval=: want",
	} {
		if _, err := parse(rawURL); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want something about %q", rawURL, err, want)
		}
	}
	for _, rawURL := range []string{"nats://h", "nats://h,i:2", "nats://[::1]:2", "nats://u:p@h:1/", "nats://h?tls=true&tls_server_name=n"} {
		if _, err := parse(rawURL); err != nil {
			t.Errorf("%s: %v", rawURL, err)
		}
	}
}

func TestAnyHostOfSeveralWillDo(t *testing.T) {
	s := broker.NATS(t)
	if err := connects(t, fmt.Sprintf("nats://127.0.0.1:%d,%s", freeport.Port(t), s.Addr())); err != nil {
		t.Error(err)
	}
}

// The error says why no host could be reached.
func TestAServerThatIsNotThereSaysWhy(t *testing.T) {
	port := freeport.Port(t)
	for _, hosts := range []string{fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d,localhost:%d", port, port)} {
		err := connects(t, "nats://"+hosts)
		if !errors.Is(err, domain.ErrBusDown) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: %v", hosts, err)
		}
	}
}

func TestWaysToLogIn(t *testing.T) {
	dir := t.TempDir()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	driverkit.WriteFile(t, filepath.Join(dir, "user.nk"), string(seed))
	for name, c := range map[string]struct{ conf, user, params string }{
		"password": {`authorization { user: u, password: "p/?" }`, "u:p%2F%3F@", ""},
		"token":    {`authorization { token: "secret" }`, "", "?token=secret"},
		"nkey":     {`authorization { users: [ { nkey: ` + public + ` } ] }`, "", "?nkey=" + filepath.Join(dir, "user.nk")},
	} {
		t.Run(name, func(t *testing.T) {
			conf := filepath.Join(t.TempDir(), "nats.conf")
			driverkit.WriteFile(t, conf, c.conf)
			s := broker.NATS(t, "--config", conf)
			if err := connects(t, "nats://"+c.user+s.Addr()+c.params); err != nil {
				t.Error(err)
			}
			if err := connects(t, "nats://"+s.Addr()); !errors.Is(err, domain.ErrBusDown) {
				t.Errorf("without: %v", err)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	cert, key := driverkit.Certificate(t)
	s := broker.NATS(t, "--tls", "--tlscert", cert, "--tlskey", key)
	for params, ok := range map[string]bool{
		"?tls_ca=" + cert: true, "?tls_skip_verify=true": true, "?tls=true": false, "": false,
		"?tls_server_name=else&tls_ca=" + cert: false,
	} {
		if err := connects(t, "nats://"+s.Addr()+params); (err == nil) != ok {
			t.Errorf("%s: %v", params, err)
		}
	}
}

// Any number of callers that ask for a connection at the same time get the same one. A
// caller that gives up does not end the attempt for the others.
func TestConcurrentCallersShareOneConnection(t *testing.T) {
	s := broker.NATS(t)
	server, err := parse(s.URL("nats"))
	if err != nil {
		t.Fatal(err)
	}
	c := server.Client()
	defer c.Close()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Conn(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	conns := make(chan *natsconn.Conn, 20)
	for range cap(conns) {
		go func() {
			conn, err := c.Conn(t.Context())
			if err != nil {
				t.Error(err)
			}
			conns <- conn
		}()
	}
	first := <-conns
	for range cap(conns) - 1 {
		if conn := <-conns; conn != first {
			t.Fatal("two connections")
		}
	}
	s.Kill()
	<-first.Ended()
	if _, err := c.Conn(t.Context()); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("down: %v", err)
	}
	s.Restart()
	if again, err := c.Conn(t.Context()); err != nil || again == first {
		t.Errorf("up again: %v", err)
	}
}
