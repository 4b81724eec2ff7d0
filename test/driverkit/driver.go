package driverkit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// An Opener is the Open function of a driver's package.
type Opener = func(ctx context.Context, u *url.URL, log *slog.Logger) (transport.Driver, error)

// Open opens a driver that logs nothing and is closed when the test ends.
func Open(t testing.TB, open Opener, rawURL string) transport.Driver {
	t.Helper()
	return OpenWithLogger(t, open, rawURL, slog.New(slog.DiscardHandler))
}

// OpenLogged opens a driver, and returns its log as well.
func OpenLogged(t testing.TB, open Opener, rawURL string) (transport.Driver, *Log) {
	t.Helper()
	log := &Log{}
	return OpenWithLogger(t, open, rawURL, log.Logger()), log
}

// OpenWithLogger opens a driver that is closed when the test ends.
func OpenWithLogger(t testing.TB, open Opener, rawURL string, log *slog.Logger) transport.Driver {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	d, err := open(t.Context(), u, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// Publish publishes messages, all of which the bus must take.
func Publish(t testing.TB, d transport.Driver, topic string, msgs ...*message.Message) {
	t.Helper()
	if err := errors.Join(d.Publish(t.Context(), Outgoing(topic, msgs...))...); err != nil {
		t.Fatal(err)
	}
}

// Outgoing returns messages in the form in which a driver publishes them.
func Outgoing(topic string, msgs ...*message.Message) []transport.Outgoing {
	records := make([]transport.Outgoing, len(msgs))
	for i, m := range msgs {
		records[i] = transport.Outgoing{Topic: topic, Message: m}
	}
	return records
}

// Raw returns a message that is published without framing, as other programs
// publish.
func Raw(payload string) *message.Message {
	m := message.NewMessage("ignored", []byte(payload))
	m.Metadata.Set(transport.RawKey, "1")
	return m
}

// Numbers returns the numbers from first to last.
func Numbers(first, last int) (all []string) {
	for i := first; i <= last; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// Poll calls done until it returns true. If that takes half a minute, the test
// fails.
func Poll(t testing.TB, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Error("it did not happen in time")
			return
		}
	}
}

// patience is how long the kit waits before it fails a test that hangs.
const patience = 30 * time.Second

// Says reports whether an error's text contains the given one, and the error is
// each of the sentinels.
func Says(err error, text string, sentinels ...error) bool {
	for _, sentinel := range sentinels {
		if !errors.Is(err, sentinel) {
			return false
		}
	}
	return err != nil && strings.Contains(err.Error(), text)
}

// WantGap fails the test unless err is a [domain.GapError] for the reason.
func WantGap(t testing.TB, err error, want domain.GapReason) {
	t.Helper()
	var gap *domain.GapError
	if !errors.As(err, &gap) || gap.Reason != want {
		t.Fatalf("got %v, want a gap: %s", err, want)
	}
	t.Log(err)
}
