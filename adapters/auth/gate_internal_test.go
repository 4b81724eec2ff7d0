package auth

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestAGateClosesAfterFailuresAndTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(4)
		enter := func() error { return g.enter(t.Context(), time.Now) }
		for range mostFailures - 1 {
			if err := enter(); err != nil {
				t.Fatal(err)
			}
			g.leave(bad, time.Now())
		}
		if err := enter(); err != nil {
			t.Fatal(err)
		}
		g.leave(good, time.Now()) // one that goes well counts for all
		for range mostFailures {
			if err := enter(); err != nil {
				t.Fatal(err)
			}
			g.leave(bad, time.Now())
		}
		if err := enter(); !errors.Is(err, errClosed) {
			t.Errorf("after %d failures: %v", mostFailures, err)
		}
		time.Sleep(closedTime)
		if err := enter(); err != nil {
			t.Errorf("after a moment nothing is tried: %v", err)
		}
		if err := enter(); !errors.Is(err, errClosed) {
			t.Errorf("a second one beside the one that is tried: %v", err)
		}
		g.leave(unknown, time.Now()) // nobody waited for it: another one is tried
		if err := enter(); err != nil {
			t.Errorf("after one that nobody waited for: %v", err)
		}
		g.leave(bad, time.Now())
		if err := enter(); !errors.Is(err, errClosed) {
			t.Errorf("after one that was tried in vain: %v", err)
		}
		time.Sleep(closedTime)
		if err := enter(); err != nil {
			t.Fatal(err)
		}
		g.leave(good, time.Now())
		for range cap(g.slots) {
			if err := enter(); err != nil {
				t.Errorf("when all is well: %v", err)
			}
		}
	})
}

func FuzzParseGrant(f *testing.F) {
	f.Add([]byte(`{"user":"alice","systems":["orders"],"rooms":null,"expires":"2100-01-01T00:00:00Z","cache":1.5}`))
	f.Add([]byte(`{"user":"alice","expires":1e3,"cache":-1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := parseGrant(text)
		if err == nil && (a.cache < 0 || a.cache > maxGrantCache) {
			t.Errorf("%q is remembered for %v", text, a.cache)
		}
		_ = parseRefusal(text, false).Error()
	})
}

func TestRememberedGrantsAreBoundedAndEnd(t *testing.T) {
	now := time.Now()
	s := newGrants(100_000)
	for i := range 10_000 {
		s.add([32]byte{byte(i), byte(i >> 8)}, grantAnswer{}.grant, now.Add(time.Minute), now)
		if n := len(s.young) + len(s.old); n > 100_000/400 {
			t.Fatalf("%d grants are remembered", n)
		}
	}
	last := [32]byte{byte(9999 & 0xff), byte(9999 >> 8)}
	if _, ok := s.find(last, now.Add(time.Minute-1)); !ok {
		t.Error("the last one is forgotten")
	}
	if _, ok := s.find(last, now.Add(time.Minute)); ok {
		t.Error("it is remembered for longer than it may")
	}
}
