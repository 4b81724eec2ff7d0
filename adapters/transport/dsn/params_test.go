package dsn_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

func TestParams(t *testing.T) {
	u, err := url.Parse("x://?name=n&age=90s&count=7&on=true&empty=")
	if err != nil {
		t.Fatal(err)
	}
	p := dsn.NewParams(u)
	if got := p.String("name", "f"); got != "n" {
		t.Errorf("name %q", got)
	}
	if got := p.String("empty", "f"); got != "" {
		t.Errorf("empty %q", got)
	}
	if got := p.String("missing", "f"); got != "f" {
		t.Errorf("missing %q", got)
	}
	if got := p.Duration("age", 0, time.Second); got != 90*time.Second {
		t.Errorf("age %v", got)
	}
	if got := p.Int("count", 0, 7); got != 7 {
		t.Errorf("count %d", got)
	}
	if got := p.Int("none", 5, 7); got != 5 {
		t.Errorf("none %d", got)
	}
	if got := p.Bool("on", false); !got {
		t.Error("on is false")
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}

// Numbers have bounds on both sides, and say which.
func TestParametersHaveBounds(t *testing.T) {
	for query, want := range map[string]string{
		"d=0": "at least 1s", "d=0s": "at least 1s", "d=-1h": "at least 1s", "d=999ms": "at least 1s", "d=1s": "", "d=87600h": "",
		"d=87600h1ns": "at most 87600h0m0s", "d=2562047h": "at most", "d=2562048h": "at least 1s", "d=": "at least 1s", "d=1": "at least 1s", "d=1e9s": "at least",
		"t=0": "at least 10ms", "t=10ms": "", "t=1h": "", "t=1h1ns": "at most 1h0m0s", "t=": "at least 10ms", "t=-5s": "at least",
		"n=0": "at least 1", "n=1": "", "n=1125899906842624": "", "n=1125899906842625": "at most 1125899906842624",
		"n=9223372036854775808": "at most", "n=-9223372036854775809": "at least 1", "n=": "at least 1", "n=1.0": "at least 1", "n=0x10": "at least",
		"m=5": "", "m=6": "at most 5", "m=0": "at least 2",
		"b=": "true or false", "b=2": "true or false", "b=1": "",
	} {
		p := dsn.NewParams(&url.URL{RawQuery: query})
		p.Duration("d", time.Hour, time.Second)
		p.Timeout("t", time.Second, 10*time.Millisecond)
		p.Int("n", 1, 1)
		p.IntTo("m", 3, 2, 5)
		p.Bool("b", false)
		err := p.Err()
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
}

func FuzzParams(f *testing.F) {
	f.Add("a=1&b=2h&c=true&d")
	f.Add("a=%zz&&=;b=-1")
	f.Fuzz(func(t *testing.T, query string) {
		p := dsn.NewParams(&url.URL{RawQuery: query})
		if n := p.Int("a", 5, 3); n < 3 {
			t.Errorf("a is %d", n)
		}
		if d := p.Duration("b", time.Hour, time.Second); d < time.Second {
			t.Errorf("b is %v", d)
		}
		p.Bool("c", false)
		values, err := url.ParseQuery(query)
		fault := p.Err()
		for name := range values {
			if name != "a" && name != "b" && name != "c" && fault == nil {
				t.Errorf("%q passed", name)
			}
		}
		if err != nil && fault == nil {
			t.Error("a broken query passed")
		}
	})
}
