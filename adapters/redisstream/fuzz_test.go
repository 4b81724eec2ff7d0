package redisstream

import (
	"bytes"
	"cmp"
	"slices"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
)

// FuzzDecode decodes any fields. The decoder must not panic, lose a field, or keep a
// reference to the fields' values.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x17_watermill_message_uuid\x01u\x08metadata\x05\x81\xa1k\xa1v\x07payload\x01p"))
	f.Add([]byte("\x02to\x06user:a\x04data\x021!"))
	f.Add([]byte("\x02to\x06user:a\x04data\x021!\x04data\x012"))
	f.Add([]byte("\x08metadata\x05\xdf\xff\xff\xff\xff\x17_watermill_message_uuid\x01u"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var fields []field
		var names, values [][]byte
		for len(raw) > 0 {
			var name, value []byte
			name, raw = take(raw)
			value, raw = take(raw)
			names, values = append(names, name), append(values, value)
			fields = append(fields, field{string(name), append([]byte{}, value...)})
		}
		e := new(arena).decode(fields)
		for _, f := range fields {
			clear(f.value)
		}
		parts := len(e.Header)
		if e.Body != nil {
			parts++
			if !containsBytes(values, e.Body) {
				t.Fatalf("body %q is none of the values %q", e.Body, values)
			}
		}
		if e.UUID != "" || containsBytes(names, []byte(uuidField)) {
			return
		}
		others := slices.DeleteFunc(fields, func(f field) bool { return f.name == "to" })
		unreadable := len(e.Header) > 0 && slices.Contains([]string{
			"(the field data is there twice)", "(the field payload is there twice)",
			"(the field message is there twice)"}, e.Header[0].Value)
		switch {
		case unreadable:
			if e.Body != nil || len(e.Header) != 1+len(others) {
				t.Fatalf("%d fields beside to, %d parts, body %q", len(others), parts-1, e.Body)
			}
		case parts != len(names):
			t.Fatalf("%d fields, %d parts", len(names), parts)
		}
	})
}

func containsBytes(all [][]byte, b []byte) bool {
	for _, a := range all {
		if bytes.Equal(a, b) {
			return true
		}
	}
	return false
}

// take takes a string, with its length in front, from the beginning of raw.
func take(raw []byte) (s, rest []byte) {
	if len(raw) == 0 {
		return nil, nil
	}
	n := min(int(raw[0]), len(raw)-1)
	return raw[1 : 1+n], raw[1+n:]
}

func FuzzMetadata(f *testing.F) {
	f.Add("k", "v", "", "")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		if k1 == uuidField || k2 == uuidField {
			return
		}
		m := message.Metadata{k1: v1, k2: v2}
		b, err := encodeMetadata(m)
		if err != nil {
			t.Fatal(err)
		}
		delete(m, "fanfare.raw")
		e := new(arena).decode([]field{{uuidField, []byte("u")}, {metadataField, b}})
		got := message.Metadata{}
		for i, f := range e.Header {
			got[f.Name] = f.Value
			if i > 0 && e.Header[i-1].Name >= f.Name {
				t.Fatal("the header is not sorted")
			}
		}
		if len(got) != len(m) || got[k1] != m[k1] || got[k2] != m[k2] || e.UUID != "u" {
			t.Fatalf("%q became %q", m, got)
		}
	})
}

func FuzzPosition(f *testing.F) {
	f.Add("1526919030474-55", "1526919030474-6")
	f.Add("0-0", "18446744073709551615-18446744073709551615")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, err1 := parseID([]byte(a))
		y, err2 := parseID([]byte(b))
		if err1 != nil || err2 != nil {
			return
		}
		again, err := parsePosition(x.position())
		if err != nil || again != x {
			t.Fatalf("%q: %v, %v", a, again, err)
		}
		if re, err := parseID([]byte(x.String())); err != nil || re != x {
			t.Fatalf("%q: %v, %v", a, re, err)
		}
		want := cmp.Or(cmp.Compare(x.ms, y.ms), cmp.Compare(x.seq, y.seq))
		if cmp.Compare(x.position(), y.position()) != want || x.less(y) != (want < 0) {
			t.Fatalf("%q and %q are out of order", a, b)
		}
		_ = x.time()
	})
}

func TestWhatIsNoIDIsRefused(t *testing.T) {
	for _, s := range []string{"", "-", "1", "1-", "-1", "a-1", "1-b", "1-1-1", "18446744073709551616-0", "99999999999999999999-0", "+1-0"} {
		if got, err := parseID([]byte(s)); err == nil {
			t.Errorf("%q became %v", s, got)
		}
	}
}
