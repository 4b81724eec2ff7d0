package jsontext_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

func TestAppendStringEscapesWhatItMustAndNothingElse(t *testing.T) {
	for said, want := range map[string]string{
		"":                       `""`,
		"plain, <b>&amp;</b>":    `"plain, <b>&amp;</b>"`,
		`a"b\c`:                  `"a\"b\\c"`,
		"\n\r\t\b\f\x00\x7f":     `"\n\r\t\u0008\u000c\u0000` + "\x7f" + `"`,
		"schön 😀 \u2028":         `"schön 😀 ` + "\u2028" + `"`,
		"a\xffb\xe4":             `"a` + "\ufffdb\ufffd" + `"`,
		"half a rune \xf0\x9f":   `"half a rune ` + "\ufffd\ufffd" + `"`,
		"the rune itself \ufffd": `"the rune itself ` + "\ufffd" + `"`,
	} {
		if got := string(jsontext.AppendString(nil, said)); got != want {
			t.Errorf("%q: got %s, want %s", said, got, want)
		}
		if got := string(jsontext.AppendString([]byte("x"), []byte(said))); got != "x"+want {
			t.Errorf("bytes %q: got %s, want x%s", said, got, want)
		}
	}
}

// awkward are strings that the two ways of writing them treat differently, or that
// are hard to write.
var awkward = []string{
	"", "plain", "plain, <b>&amp;</b>", "<schön>", "a<b\"c", "a\"b<c", "a\nb&c", "<\x7f>", "\b\f\n\r\t\v\x00\x1f",
	"a\u2028b\u2029c", "\u2027\u202a", "\ufffd", "\ufffe\uffff", "a\xffb\xe4", "\xed\xa0\xbd", "\xe2\x80", "half a rune \xf0\x9f",
	`q"\/`, "😀", "\U0010ffff", "\u0080\u0085",
}

// The frames that clients are sent have had this form since the first release.
func frameString(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r) // U+FFFD for bytes that are not UTF-8
		}
	}
	return `"` + b.String() + `"`
}

// Envelopes have had this form since the first release.
func envelopeString(s string) string {
	escaped := func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r >= 0x7f }
	if !strings.ContainsFunc(s, escaped) {
		return `"` + s + `"`
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// checkBothForms compares both functions with the released forms, for a string and
// for a slice.
func checkBothForms(t *testing.T, said string) {
	t.Helper()
	want := frameString(said)
	if got := string(jsontext.AppendString([]byte("x"), said)); got != "x"+want {
		t.Errorf("AppendString(%q) = %s, want x%s", said, got, want)
	}
	if got := string(jsontext.AppendString(nil, []byte(said))); got != want {
		t.Errorf("AppendString(bytes of %q) = %s, want %s", said, got, want)
	}
	want = envelopeString(said)
	if got := string(jsontext.AppendMarshaled([]byte("x"), said)); got != "x"+want {
		t.Errorf("AppendMarshaled(%q) = %s, want x%s", said, got, want)
	}
	if got := string(jsontext.AppendMarshaled(nil, []byte(said))); got != want {
		t.Errorf("AppendMarshaled(bytes of %q) = %s, want %s", said, got, want)
	}
}

func TestBothFormsAreThoseOfTheFirstRelease(t *testing.T) {
	for _, said := range awkward {
		checkBothForms(t, said)
	}
	for c := range 0x100 { // every byte, alone and beside another that is escaped
		checkBothForms(t, string([]byte{byte(c)}))
		checkBothForms(t, string([]byte{'<', byte(c), 0xc3, 0xa4}))
	}
}

func TestAppendMarshaledIsWhatEncodingJSONWrites(t *testing.T) {
	for said, want := range map[string]string{
		"ä<b>&c":            `"ä\u003cb\u003e\u0026c"`,
		"<b>&c":             `"<b>&c"`,
		"a\u2028b\u2029":    `"a\u2028b\u2029"`,
		"\b\f\n\r\t\x00":    `"\b\f\n\r\t\u0000"`,
		"a\xff":             `"a\ufffd"`,
		"the rune \ufffd":   `"the rune ` + "\ufffd" + `"`,
		"DEL \x7f and <":    `"DEL ` + "\x7f" + ` and \u003c"`,
		`a "quoted" <id>`:   `"a \"quoted\" \u003cid\u003e"`,
		`a\b`:               `"a\\b"`,
		"schöne Wörter, 😀 ": `"schöne Wörter, 😀 "`,
	} {
		if got := string(jsontext.AppendMarshaled(nil, said)); got != want {
			t.Errorf("%q: got %s, want %s", said, got, want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\"\\\xff\u2028")
	for _, said := range awkward {
		f.Add(said)
	}
	f.Fuzz(func(t *testing.T, said string) {
		checkBothForms(t, said)
		for _, text := range [][]byte{
			jsontext.AppendString(nil, said), jsontext.AppendMarshaled(nil, said),
		} {
			var back string
			if err := json.Unmarshal(text, &back); err != nil || !utf8.Valid(text) {
				t.Fatalf("%q became %s: %v", said, text, err)
			}
			if want := string([]rune(said)); back != want {
				t.Fatalf("%q is read back as %q", said, back)
			}
		}
	})
}

var appended []byte

func BenchmarkAppendString(b *testing.B) {
	for name, said := range map[string]string{
		"id":      "01JCXYZ0000000000000000000",
		"ASCII":   strings.Repeat("plain words, ", 10),
		"UTF-8":   strings.Repeat("schöne Wörter, ", 10),
		"escapes": "line one\nsaid \"two\"\tand three\\",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			buffer := make([]byte, 0, 1024)
			for b.Loop() {
				appended = jsontext.AppendString(buffer[:0], said)
			}
		})
	}
}

func BenchmarkAppendMarshaled(b *testing.B) {
	for name, said := range map[string]string{
		"id":      "01JCXYZ0000000000000000000",
		"ASCII":   strings.Repeat("plain words, ", 10),
		"UTF-8":   strings.Repeat("schöne Wörter, ", 10),
		"escapes": "line one\nsaid \"two\"\tand three\\",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			buffer := make([]byte, 0, 1024)
			for b.Loop() {
				appended = jsontext.AppendMarshaled(buffer[:0], said)
			}
		})
	}
}
