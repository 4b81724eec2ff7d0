package main

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/test/broker"
)

// If the bus refuses a message, a command that publishes past the nodes says why. A
// node answers 503, and its log says why.
func TestWhoPublishesIsToldWhyTheBusRefuses(t *testing.T) {
	conf := write(t, `authorization { users: [
			{user: all, password: p}
			{user: reader, password: p, permissions: {publish: {deny: ["fanfare.>"]}}}
		] }`)
	s := broker.NATS(t, "--config", conf)
	nc := s.Client(nats.UserInfo("all", "p"))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []jetstream.StreamConfig{
		{Name: "noack", Subjects: []string{"fanfare.noack"}, NoAck: true},
		{Name: "full", Subjects: []string{"fanfare.full"}, Discard: jetstream.DiscardNew, MaxBytes: 10},
		{Name: "good", Subjects: []string{"fanfare.good"}},
	} {
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ url, system, why, told string }{
		"no_ack":                 {"jetstream://all:p@", "noack", "no_ack", "refuses"},
		"full":                   {"jetstream://all:p@", "full", "stream is full", "is full"},
		"may not, JetStream":     {"jetstream://reader:p@", "good", "Permissions Violation", "refuses"},
		"may not, core":          {"nats://reader:p@", "good", "Permissions Violation", "refuses"},
		"wrong password":         {"nats://all:wrong@", "good", "does not accept the URL's user", "refuses"},
		"wrong password, a list": {"jetstream://all:wrong@127.0.0.1:1,jetstream://all:wrong@", "good", "does not accept the URL's user", "refuses"},
	} {
		t.Run(name, func(t *testing.T) {
			bus := c.url + s.Addr()
			message := []string{"publish", "--system", c.system, "--to", "*", "--data", "1"}
			got := fanfareRun(t, append(message, "--transport", bus)...)
			if got.code == 0 || !strings.Contains(got.err, c.why) || strings.Contains(got.err, "wrong@") {
				t.Errorf("exit %d: %s", got.code, got.err)
			}
			n := node(t, nil, "dev", "--transport", bus, "--systems", c.system)
			got = fanfareRun(t, append(message, "--url", n.url())...)
			if got.code == 0 || !strings.Contains(got.err, c.told) || strings.Contains(got.err, "nats:") {
				t.Errorf("through a node, exit %d: %s", got.code, got.err)
			}
			n.line(c.why)
		})
	}
}
