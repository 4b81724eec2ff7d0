package natscore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
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
			attempt := func() error { return errors.Join(d.Publish(t.Context(), on("t", raw("x")))...) }
			publish(t, d, "t", raw("x"))
			write(c.conf)
			s.Reload()
			var err error
			poll(t, func() bool {
				err = attempt()
				return errors.Is(err, domain.ErrBusRefused) && strings.Contains(err.Error(), c.text)
			})
			if !errors.Is(err, domain.ErrBusDown) {
				t.Errorf("refused: %v", err)
			}
			write(good)
			s.Reload()
			poll(t, func() bool { return attempt() == nil })
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
		records = append(records, on(fmt.Sprintf("no.%d", i), raw("x"))...)
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
	publish(t, d, "yes", raw("x"))
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
	records := append(on("t.inbound", raw("refused")), on("t", raw("taken"))...)
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
	publish(t, d, "t", raw("x"))
	read(t, first, 1)
}
