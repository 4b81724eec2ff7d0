package driverkit

import (
	"context"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// Follow follows a topic after a position. The feed is closed when the test
// ends.
func Follow(t testing.TB, d transport.Driver, topic string, after domain.Position) transport.Feed {
	t.Helper()
	f, err := d.Follow(t.Context(), topic, after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// WantRefused follows a topic after a position, which must be refused with a
// gap.
func WantRefused(
	t testing.TB, d transport.Driver, topic string, after domain.Position, want domain.GapReason,
) {
	t.Helper()
	f, err := d.Follow(t.Context(), topic, after)
	if err == nil {
		_ = f.Close()
	}
	WantGap(t, err, want)
}

// Read reads until it has n entries or a few more.
func Read(t testing.TB, f transport.Feed, n int) []domain.Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []domain.Entry
	for len(all) < n {
		batch, err := f.Read(ctx)
		if err != nil {
			t.Fatalf("after %d of %d entries: %v", len(all), n, err)
		}
		if len(batch) == 0 || len(batch) > transport.BatchSize {
			t.Fatalf("a batch of %d entries", len(batch))
		}
		all = append(all, batch...)
	}
	return all
}

// ReadLog reads like [Read]. It also checks that positions rise, as they do on a
// bus with a log.
func ReadLog(t testing.TB, f transport.Feed, n int) []domain.Entry {
	t.Helper()
	all := Read(t, f, n)
	for i := 1; i < len(all); i++ {
		if all[i-1].Position >= all[i].Position {
			t.Fatalf("positions do not rise at %d", i)
		}
	}
	return all
}

// Bodies returns the bodies of entries.
func Bodies(entries []domain.Entry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, string(e.Body))
	}
	return all
}

// ReadToEnd reads until the feed ends, and returns the error with which it ends.
// There must be n entries before that, and nothing can be read after it.
func ReadToEnd(t testing.TB, f transport.Feed, n int) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		batch, err := f.Read(ctx)
		if err != nil {
			if n != 0 {
				t.Fatalf("%d entries fewer than wanted before the end: %v", n, err)
			}
			if _, again := f.Read(ctx); again == nil {
				t.Fatal("the feed continued after its end")
			}
			return err
		}
		n -= len(batch)
	}
}

// WaitForEnd skips entries until the feed ends, which must happen within 20 s.
// It returns how long that took, and the error with which the feed ends.
func WaitForEnd(t testing.TB, f transport.Feed) (took time.Duration, end error) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		if _, err := f.Read(ctx); err != nil {
			if ctx.Err() != nil {
				t.Fatal("the feed did not notice")
			}
			if _, again := f.Read(ctx); again == nil {
				t.Fatal("the feed continued after its end")
			}
			return time.Since(start), err
		}
	}
}

// WithoutLog removes what differs from run to run, positions and times, from
// entries. An empty body becomes nil.
func WithoutLog(entries []domain.Entry) []domain.Entry {
	for i := range entries {
		entries[i].Position, entries[i].Time = "", time.Time{}
		if len(entries[i].Body) == 0 {
			entries[i].Body = nil
		}
	}
	return entries
}
