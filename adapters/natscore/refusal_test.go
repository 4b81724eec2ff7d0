package natscore_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// Credentials that change on a running node: what is published is refused, and
// goes on when they are good again.
func TestRightsThatAreTakenAwayAndGivenBack(t *testing.T) {
	const good = `authorization { users: [{user: u, password: p}] }`
	for name, c := range map[string]struct{ conf, text string }{
		"may not publish":  {`authorization { users: [{user: u, password: p, permissions: {publish: {deny: ["t"]}}}] }`, "Permissions Violation"},
		"another password": {`authorization { users: [{user: u, password: q}] }`, "does not accept the URL's user"},
		"no such user":     {`authorization { users: [{user: v, password: p}] }`, "does not accept the URL's user"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "nats.conf")
			write := func(conf string) {
				t.Helper()
				if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(good)
			s := broker.NATS(t, "--config", file)
			d := open(t, "nats://u:p@"+s.Addr())
			attempt := func() error {
				return errors.Join(d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("x")))...)
			}
			driverkit.Publish(t, d, "t", driverkit.Raw("x"))
			write(c.conf)
			s.Reload()
			var err error
			driverkit.Poll(t, func() bool {
				err = attempt()
				return errors.Is(err, domain.ErrBusRefused) && strings.Contains(err.Error(), c.text)
			})
			if !errors.Is(err, domain.ErrBusDown) {
				t.Errorf("refused: %v", err)
			}
			write(good)
			s.Reload()
			driverkit.Poll(t, func() bool { return attempt() == nil })
		})
	}
}

// However many are refused at once, none of them is taken for published.
func TestRefusalsThatAreTooManyToRemember(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	conf := `authorization { users: [{user: u, password: p, permissions: {publish: {deny: ["no.>"]}}}] }`
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s := broker.NATS(t, "--config", file)
	d := open(t, "nats://u:p@"+s.Addr())
	var records []transport.Outgoing
	for i := range 3000 {
		records = append(records, driverkit.Outgoing(fmt.Sprintf("no.%d", i), driverkit.Raw("x"))...)
	}
	errs := d.Publish(t.Context(), records)
	if len(errs) != len(records) {
		t.Fatalf("%d errors", len(errs))
	}
	for i, err := range errs {
		if !errors.Is(err, domain.ErrBusDown) {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	driverkit.Publish(t, d, "yes", driverkit.Raw("x"))
}

// A refusal of a longer subject, such as a topic's inbound one, says nothing
// about the topic itself.
func TestARefusalIsOfOneSubjectOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	conf := `authorization { users: [{user: u, password: p, permissions: {publish: {deny: ["t.inbound", "t"]}}},
		{user: v, password: p, permissions: {publish: {deny: ["t.inbound"]}}}] }`
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s := broker.NATS(t, "--config", file)
	records := append(driverkit.Outgoing("t.inbound", driverkit.Raw("refused")), driverkit.Outgoing("t", driverkit.Raw("taken"))...)
	errs := open(t, "nats://v:p@"+s.Addr()).Publish(t.Context(), records)
	if len(errs) != 2 || !errors.Is(errs[0], domain.ErrBusRefused) || errs[1] != nil {
		t.Errorf("one of them may be published on: %v", errs)
	}
	errs = open(t, "nats://u:p@"+s.Addr()).Publish(t.Context(), records)
	if len(errs) != 2 || !errors.Is(errs[0], domain.ErrBusRefused) || !errors.Is(errs[1], domain.ErrBusRefused) {
		t.Errorf("neither may be published on: %v", errs)
	}
}

// A subscription that the server does not take because there are too many is
// not taken for one that hears nothing.
func TestTooManySubscriptionsAreTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte("max_subscriptions: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := broker.NATS(t, "--config", file)
	d := open(t, s.URL("nats"))
	first := follow(t, d, "t")
	if f, err := d.Follow(t.Context(), "more", ""); err == nil {
		_ = f.Close()
		t.Fatal("the second subscription seems to be there")
	} else if !errors.Is(err, domain.ErrBusDown) || !strings.Contains(err.Error(), "maximum subscriptions") {
		t.Errorf("the second subscription: %v", err)
	}
	driverkit.Publish(t, d, "t", driverkit.Raw("x"))
	driverkit.Read(t, first, 1)
}

// Rights that change between two messages: the server does not say which of them
// it refused, so nobody is told that his is certainly not there.
func TestWhatWasRefusedInPartIsUnknown(t *testing.T) {
	d := open(t, "nats://"+refusing(t, 1))
	errs := d.Publish(t.Context(), append(driverkit.Outgoing("t", driverkit.Raw("1"), driverkit.Raw("2")), driverkit.Outgoing("other", driverkit.Raw("3"))...))
	if len(errs) != 3 || errs[2] != nil {
		t.Fatalf("errors %v", errs)
	}
	for _, err := range errs[:2] {
		if !errors.Is(err, domain.ErrBusDown) || errors.Is(err, domain.ErrBusRefused) || !strings.Contains(err.Error(), "Permissions Violation") {
			t.Errorf("error %v", err)
		}
	}
	errs = open(t, "nats://"+refusing(t, 2)).Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("1"), driverkit.Raw("2")))
	for _, err := range errs {
		if !errors.Is(err, domain.ErrBusRefused) {
			t.Errorf("all were refused: %v", err)
		}
	}
	if len(errs) != 2 {
		t.Errorf("%d errors", len(errs))
	}
}

// refusing starts what speaks enough of NATS to be published to, and refuses the
// last n of two messages on t. It returns its address.
func refusing(t *testing.T, n int) (addr string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprint(conn, "INFO {\"server_id\":\"x\",\"max_payload\":1024,\"proto\":1}\r\n")
		seen := 0
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			switch line := lines.Text(); {
			case line == "PING":
				_, _ = fmt.Fprint(conn, "PONG\r\n")
			case strings.HasPrefix(line, "PUB t "):
				if seen++; seen > 2-n {
					_, _ = fmt.Fprint(conn, "-ERR 'Permissions Violation for Publish to \"t\"'\r\n")
				}
			}
		}
	}()
	return l.Addr().String()
}
