package auth_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

func keysOf(t *testing.T, limits auth.KeyLimits) (k *auth.Keys, key, entry string) {
	t.Helper()
	key, entry, err := auth.NewKey("shop", domain.Scopes{"publish/orders"}, limits)
	if err != nil {
		t.Fatal(err)
	}
	k, err = auth.NewKeys(entry)
	if err != nil {
		t.Fatal(err)
	}
	return k, key, entry
}

func TestAKeyEndsWhenItsEntrySays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, key, _ := keysOf(t, auth.KeyLimits{Expires: time.Now().Add(time.Hour).UTC()})
		time.Sleep(time.Hour - time.Nanosecond)
		if _, err := k.Authorize(t.Context(), key); err != nil {
			t.Errorf("just before its end: %v", err)
		}
		time.Sleep(time.Nanosecond)
		_, err := k.Authorize(t.Context(), key)
		var c *domain.CredentialError
		if !errors.As(err, &c) || c.Reason != auth.ReasonExpired || c.Told == "" || !strings.Contains(c.Detail, "shop expired at 2000-01-01T01:00:00Z") {
			t.Errorf("at its end: %#v", err)
		}
		if strings.Contains(err.Error(), key) {
			t.Errorf("the error quotes the key: %v", err)
		}
	})
}

func TestAKeyPublishesAsMuchAsItsRateAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, key, entry := keysOf(t, auth.KeyLimits{Rate: auth.KeyRate{Messages: 10, Per: time.Second}})
		for _, step := range []struct {
			sleep time.Duration
			n     int
			want  time.Duration
		}{
			{0, 0, 0}, {0, 6, 0}, {0, 4, 0}, // all of a second at once
			{0, 0, 100 * time.Millisecond}, {0, 3, 300 * time.Millisecond}, // what is refused does not count
			{100 * time.Millisecond, 1, 0}, {0, 1, 100 * time.Millisecond},
			{999 * time.Millisecond, 25, 10 * time.Millisecond / 10},            // more than a second's: when nothing counts
			{time.Millisecond, 25, 0}, {time.Second, 1, 600 * time.Millisecond}, // and then they count all
			{time.Hour, 11, 0}, {0, 0, 200 * time.Millisecond},
		} {
			time.Sleep(step.sleep)
			if got := k.Take(key, step.n); got.Round(time.Microsecond) != step.want {
				t.Errorf("after %v, %d messages: wait %v, want %v", step.sleep, step.n, got, step.want)
			}
		}
		// The same entry read again goes on counting. With another rate it begins anew.
		again, _ := auth.NewKeys(entry)
		k.Replace(again)
		if k.Take(key, 0) == 0 {
			t.Error("reading the entries again has forgotten what was published")
		}
		longer, _ := auth.NewKeys(entry + ":expires=2199-01-01")
		k.Replace(longer)
		if k.Take(key, 0) == 0 {
			t.Error("another end of the key has forgotten what was published")
		}
		other, _ := auth.NewKeys(strings.Replace(entry, "10/s", "20/s", 1))
		k.Replace(other)
		if wait := k.Take(key, 0); wait != 0 {
			t.Errorf("with another rate: wait %v", wait)
		}
		if k.Take("unknown", 1000) != 0 {
			t.Error("an unknown key has a rate")
		}
	})
}

func TestKeysAreReplacedAllAtOnce(t *testing.T) {
	k, old, _ := keysOf(t, auth.KeyLimits{})
	next, now, _ := keysOf(t, auth.KeyLimits{})
	k.Replace(next)
	if _, err := k.Authorize(t.Context(), old); !errors.Is(err, domain.ErrUnauthenticated) {
		t.Errorf("the key of before: %v", err)
	}
	if _, err := k.Authorize(t.Context(), now); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if k.NameOf(old) != "" || k.NameOf(now) != "shop" {
		t.Errorf("names %q and %q", k.NameOf(old), k.NameOf(now))
	}
}

func TestLimitsOfEntries(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	for limits, want := range map[string]string{ // how it is shown; "" if it is refused
		"":                                   "shop:*:(hidden)",
		":expires=2027-01-01T00:00:00Z":      "shop:*:(hidden):expires=2027-01-01T00:00:00Z",
		":expires=2027-01-01T02:00:00+02:00": "shop:*:(hidden):expires=2027-01-01T00:00:00Z",
		":expires=2027-01-01":                "shop:*:(hidden):expires=2027-01-01T00:00:00Z",
		":rate=100/s":                        "shop:*:(hidden):rate=100/s",
		":rate=30/m:expires=2027-01-01T00:00:00Z": "shop:*:(hidden):expires=2027-01-01T00:00:00Z:rate=30/m",
		":expires=2027-01-01T00:00:00Z:rate=1/s":  "shop:*:(hidden):expires=2027-01-01T00:00:00Z:rate=1/s",
		":rate=1/s:rate=2/s":                      "",
		":expires=2027-01-01:expires=2027-01-01":  "",
		":rate=0/s":                               "",
		":rate=-1/s":                              "",
		":rate=100":                               "",
		":rate=100/h":                             "",
		":rate=100000001/s":                       "",
		":expires=tomorrow":                       "",
		":expires=":                               "",
		":":                                       "",
		":read":                                   "",
		":limit=1":                                "",
		":rate=1/s:x":                             "",
		":expires=2027-01-01T00:00:00Z:00":        "",
		":expires=9999999999-01-01T00:00:00Z:s3cr3t": "",
	} {
		entry := "shop:*:" + sum + limits
		_, err := auth.NewKeys(entry)
		if (err == nil) != (want != "") {
			t.Errorf("%q: %v", limits, err)
			continue
		}
		if err != nil && (strings.Contains(err.Error(), sum) || strings.Contains(err.Error(), "s3cr3t")) {
			t.Errorf("%q: the error quotes it: %v", limits, err)
		}
		if want == "" {
			want = "shop:*:(hidden)"
		}
		if got := auth.ShowKeyEntry(entry); got != want {
			t.Errorf("%q is shown as %q, want %q", limits, got, want)
		}
	}
	for entry, want := range map[string]string{"fanfare_key": "(hidden)", "a:b": "(hidden)", "a:nothing:" + sum: "(hidden)", "a:admin:key": "a:admin:(hidden)"} {
		if got := auth.ShowKeyEntry(entry); got != want {
			t.Errorf("%q is shown as %q, want %q", entry, got, want)
		}
	}
	if _, err := auth.NewKeys("shop:*:"+sum, "old:*:"+sum+":rate=1/s"); err == nil || !strings.Contains(err.Error(), "entry 2") {
		t.Errorf("one key with two rates: %v", err)
	}
}
