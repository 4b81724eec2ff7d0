package natscore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// A dropper is a driver that loses some of what it is to publish, and says that
// it was taken.
type dropper struct {
	transport.Driver
	drops func(payload string) bool
}

func (d dropper) Publish(ctx context.Context, records []transport.Outgoing) []error {
	return d.Driver.Publish(ctx, slices.DeleteFunc(slices.Clone(records), func(r transport.Outgoing) bool {
		return d.drops(string(r.Message.Payload))
	}))
}

func TestWhatIsLostOnTheWayIsAGap(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	s := l.server
	drops := func(payload string) bool { return strings.Contains(payload, "lost") }
	lossy := transport.New(dropper{open(t, s.URL("nats")), drops}, transport.Config{})
	t.Cleanup(func() { _ = lossy.Close() })
	say := func(what string) {
		t.Helper()
		if err := lossy.Publish("t", raw(fmt.Sprintf(`{"%s":1}`, what))); err != nil {
			t.Fatal(err)
		}
	}
	nc := s.Client()
	theirs, err := nc.SubscribeSync("t")
	if err := errors.Join(err, nc.Flush()); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"a", "lost", "lost", "b", "c"} {
		say(what)
	}
	if err := errors.Join(nc.Publish("t", []byte(`{"foreign":1}`)), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	l.hears(`{"a":1} gap:lossy {"b":1} {"c":1} {"foreign":1}`)
	say("lost") // and nothing more: the mark tells
	l.hears(`{"a":1} gap:lossy {"b":1} {"c":1} {"foreign":1} gap:lossy`)
	say("d")
	l.hears(`{"a":1} gap:lossy {"b":1} {"c":1} {"foreign":1} gap:lossy {"d":1}`)
	if s := l.node.Stats(); s.Holes != 2 || s.Late != 0 {
		t.Errorf("counted %+v", s)
	}

	m, err := theirs.NextMsg(10 * time.Second)
	if err != nil || !strings.HasPrefix(string(m.Data), `{"stamp":"`) || !strings.HasSuffix(string(m.Data), `:1","a":1}`) {
		t.Errorf("on the wire: %v, %v", m, err)
	}
}
