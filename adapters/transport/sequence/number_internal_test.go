package sequence

import (
	"bytes"
	"testing"
)

func FuzzNumber(f *testing.F) {
	f.Add(uint64(1), []byte(`{"to":"*"}`))
	f.Add(uint64(999999999999999999), []byte(`{"stamp":"0123456789abcdef:12","mark":true}`))
	f.Add(uint64(7), []byte(`{"stamp":"0123456789abcdef:`))
	f.Fuzz(func(t *testing.T, n uint64, body []byte) {
		before := bytes.Clone(body)
		_, rest, ok := cutNumber(body)
		switch {
		case !ok && !bytes.Equal(body, before):
			t.Errorf("%q has no number and became %q", before, body)
		case ok && (rest[0] != '{' || len(rest) >= len(before) || !bytes.HasSuffix(before, rest[1:])):
			t.Errorf("%q became %q", before, rest)
		}
		n = n%(1e18-1) + 1
		if !canCarryNumber(before) {
			return
		}
		put := number{publisher: newPublisherID(), n: n}
		wire := appendNumbered(nil, put, before)
		if len(wire) > numberSize+len(before) {
			t.Errorf("%q is longer than expected", wire)
		}
		got, rest, ok := cutNumber(wire)
		if !ok || got != put || !bytes.Equal(rest, before) {
			t.Errorf("%q came back as %v, %v, %q", wire, ok, got, rest)
		}
	})
}

func TestHighWaterMarksAreTold(t *testing.T) {
	mark := appendNumbered(nil, number{newPublisherID(), 999_999_999_999_999_999}, []byte("{"+highWaterMarkTail))
	for payload, want := range map[string]bool{
		string(mark): true,
		`{"stamp":"0123456789abcdef:7","mark":true}`:  true,
		`{"stamp":"0123456789abcdef:07","mark":true}`: false,
		`{"stamp":"0123456789abcde:7","mark":true}`:   false,
		`{"stamp":"0123456789abcdef:7","to":"*"}`:     false,
		`{"mark":true}`:       false,
		`{"x":1,"mark":true}`: false,
		``:                    false,
	} {
		if got := IsHighWaterMark([]byte(payload)); got != want {
			t.Errorf("%s: %v", payload, got)
		}
	}
}
