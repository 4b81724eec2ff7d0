package jsontext_test

import (
	"encoding/json"
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

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\"\\\xff\u2028")
	f.Fuzz(func(t *testing.T, said string) {
		text := jsontext.AppendString(nil, said)
		var back string
		if err := json.Unmarshal(text, &back); err != nil || !utf8.Valid(text) {
			t.Fatalf("%q became %s: %v", said, text, err)
		}
		if want := string([]rune(said)); back != want {
			t.Fatalf("%q is read back as %q", said, back)
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
