package redisstream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// replayed replays until it has n entries, and returns their bodies and
// positions.
func replayed(t *testing.T, bus *transport.Transport, after domain.Position, from time.Time, n int) (bodies []string, at []domain.Position, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = bus.Replay(ctx, "t", domain.Location{Position: after}, from, func(batch []domain.Entry) bool {
		for _, e := range batch {
			bodies, at = append(bodies, string(e.Body)), append(at, e.Position)
		}
		return len(bodies) < n
	})
	return bodies, at, err
}

func TestALogIsReadAgain(t *testing.T) {
	k := newKit(t)
	bus := transport.New(k.d, transport.Config{})
	t.Cleanup(func() { _ = bus.Close() })
	const n = 1000
	all := k.add(1, n)
	_, at, err := replayed(t, bus, k.since(0).Begin(), time.Time{}, n)
	k.must(err)
	for _, tc := range []struct {
		name  string
		after int // the how manyeth
		from  time.Time
		want  []string
	}{
		{"from a place", 700, time.Time{}, all[700:]},
		{"with all that came before", 700, time.UnixMilli(1), all},
		{"with a past that begins later", 700, time.Now().Add(time.Hour), all[700:]},
		{"whose own entry is gone", 500, time.UnixMilli(1), append(append([]string{}, all[:499]...), all[500:]...)},
	} {
		if tc.name == "whose own entry is gone" {
			k.must(k.c.XDel(t.Context(), "t", idOf(at[499])).Err())
		}
		got, _, err := replayed(t, bus, at[tc.after-1], tc.from, len(tc.want))
		k.must(err)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}

	k.trim(100)
	_, _, err = replayed(t, bus, at[700], time.UnixMilli(1), 1000)
	driverkit.WantGap(t, err, domain.Trimmed)
	k.must(k.c.Del(t.Context(), "t").Err())
	_, _, err = replayed(t, bus, at[950], time.UnixMilli(1), 1)
	driverkit.WantGap(t, err, domain.UnknownCursor)
	k.Kill()
	if _, _, err = replayed(t, bus, at[950], time.UnixMilli(1), 1); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("bus down: %v", err)
	}
}
