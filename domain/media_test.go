package domain_test

import (
	"errors"
	"fmt"
	"mime"
	"regexp"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
)

func TestFormOf(t *testing.T) {
	for contentType, want := range map[string]domain.Form{
		"application/json": domain.JSONForm, "Application/JSON": domain.JSONForm, " application/json ": domain.JSONForm, "application/json;charset=utf-8": domain.JSONForm,
		`application/json; Charset="UTF-8"`: domain.JSONForm, "application/json ; a=b ; charset=us-ascii": domain.JSONForm, "application/json;": domain.JSONForm,
		"application/vnd.api+json": domain.JSONForm, "application/problem+JSON; v=1": domain.JSONForm, "image/x+json": domain.JSONForm, "text/x+json": domain.JSONForm,
		`application/json; a="x; charset=utf-16"`: domain.JSONForm,
		"text/plain": domain.TextForm, "TEXT/html": domain.TextForm, "text/csv; header=present": domain.TextForm, "text/html;charset=utf8": domain.TextForm, "text/json": domain.TextForm,
		"": domain.Bytes, "application/octet-stream": domain.Bytes, "image/png": domain.Bytes, "application/xml": domain.Bytes, "application/x-ndjson": domain.Bytes, "application/jsonp": domain.Bytes,
		"application/json;charset=utf-16": domain.Bytes, "text/plain; charset=iso-8859-1": domain.Bytes, `text/plain; charset="Shift_JIS"`: domain.Bytes, "text/plain; charset=utf\\-8": domain.Bytes,
		"json": domain.Bytes, "+json": domain.Bytes, "/json": domain.Bytes, "text/": domain.Bytes, "text": domain.Bytes, "text/plain text/html": domain.Bytes, "text/plain, application/json": domain.Bytes,
		"text/plain; charset=utf-8; charset=utf-16": domain.Bytes, "application/json; a": domain.Bytes, "application/json; a=": domain.Bytes, `application/json; a="b`: domain.Bytes, `application/json; a="b"c`: domain.Bytes,
		"application/json; charset = utf-8": domain.Bytes, "te\u00a0xt/plain": domain.Bytes, "text/plain\n": domain.Bytes, "text/*": domain.TextForm,
	} {
		if got := domain.FormOf(contentType); got != want {
			t.Errorf("%q: form %d, want %d", contentType, got, want)
		}
		if domain.IsJSON(contentType) != (want == domain.JSONForm) || domain.IsText(contentType) != (want == domain.TextForm) {
			t.Errorf("%q: IsJSON and IsText disagree with FormOf", contentType)
		}
	}
}

var emptyParameter = regexp.MustCompile(`;[ \t]*(;|$)`)

// FuzzMediaType compares with the standard library, which accepts more.
func FuzzMediaType(f *testing.F) {
	for _, text := range []string{"text/plain", `a/b; c="d\"e"; charset=UTF-8`, "a/b;;c=d;", "A/B ; c=d", "a/b; c=d; C=e", `a/b; c="\`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := domain.ParseMediaType(text)
		if !ok || strings.ContainsAny(text, `*\`) || emptyParameter.MatchString(text) {
			// The standard library decodes RFC 2231, keeps some backslashes, and
			// refuses empty parameters.
			return
		}
		name, params, err := mime.ParseMediaType(text)
		if err != nil || name != got.Name || strings.ToLower(params["charset"]) != got.Charset {
			t.Fatalf("%q: %+v, but mime says %q %v %v", text, got, name, params, err)
		}
	})
}

// ParseMediaType compares each parameter with all others, so their number must
// be bounded.
func TestALongContentTypeIsNoMediaType(t *testing.T) {
	longest := "text/x;a=" + strings.Repeat("b", domain.MaxType-len("text/x;a="))
	if form := domain.FormOf(longest); form != domain.TextForm {
		t.Errorf("%d bytes: form %d", len(longest), form)
	}
	var long strings.Builder
	long.WriteString("text/x")
	for i := range 100_000 {
		fmt.Fprintf(&long, ";p%d=1", i)
	}
	for _, text := range []string{longest + "b", long.String()} {
		if m, ok := domain.ParseMediaType(text); ok || domain.FormOf(text) != domain.Bytes {
			t.Errorf("%d bytes: %q", len(text), m.Name)
		}
	}
}

func TestSetDataHoldsDataToItsContentType(t *testing.T) {
	for _, tt := range []struct{ contentType, data, want string }{
		{"application/json", "{\n\"a\":1}", `{"a":1}`}, {"a/b+json", ` "\ud83d" `, `"\ud83d"`}, {"text/html", "a\nb", "a\nb"}, {"text/plain", "", ""},
		{"image/png", "\xff", "\xff"}, {"text/plain;charset=latin1", "\xe4", "\xe4"}, {"application/json;charset=utf-16", "\xfe\xff", "\xfe\xff"},
	} {
		var m domain.Message
		if err := m.SetData(tt.contentType, []byte(tt.data)); err != nil || string(m.Data) != tt.want || m.ContentType != tt.contentType {
			t.Errorf("%s %q: %q, %v", tt.contentType, tt.data, m.Data, err)
		}
	}
	for contentType, data := range map[string]string{"application/json": `1,"a":2`, "a/b+json": "", "Application/JSON": "x", "a/b+json;v=1": "\"\xff\"", "text/plain": "\xff", "text/html;charset=utf-8": "\xff"} {
		var m domain.Message
		if err := m.SetData(contentType, []byte(data)); !errors.Is(err, domain.ErrInvalid) || m.Data != nil {
			t.Errorf("%s %q: %q, %v", contentType, data, m.Data, err)
		}
	}
}

// Form remembers which data SetData has checked. It must check again whatever
// somebody has put in its place, or has declared to be of another type.
func TestFormChecksDataThatWasReplaced(t *testing.T) {
	checked := func() *domain.Message {
		m := &domain.Message{To: []domain.Target{domain.Everyone}}
		if err := m.SetData(domain.JSON, []byte(`"1"`)); err != nil {
			t.Fatal(err)
		}
		return m
	}
	forged := []byte(`1,"session":"x"`)
	for name, change := range map[string]func(m *domain.Message){
		"other data":   func(m *domain.Message) { m.Data = forged },
		"part of it":   func(m *domain.Message) { m.Data = m.Data[:1] },
		"the rest":     func(m *domain.Message) { m.Data = m.Data[1:] },
		"more":         func(m *domain.Message) { m.Data = append(m.Data, ",1"...) },
		"nothing":      func(m *domain.Message) { m.Data = nil },
		"a line break": func(m *domain.Message) { m.Data = []byte("[\n1]") },
		"text that was checked, as JSON": func(m *domain.Message) {
			_ = m.SetData(domain.Text, forged)
			m.ContentType = "application/x+json"
		},
		"bytes that were set, as text": func(m *domain.Message) {
			_ = m.SetData(domain.Binary, []byte("\xff"))
			m.ContentType = domain.Text
		},
	} {
		m := checked()
		change(m)
		if form := m.Form(); form != domain.Bytes {
			t.Errorf("%s: %q may be written as form %d", name, m.Data, form)
		}
		if err := m.Check(); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %q passes Check", name, m.Data)
		}
	}
	if m := checked(); m.Form() != domain.JSONForm || m.Check() != nil {
		t.Error("data that SetData has checked is not taken for JSON")
	}
	m := &domain.Message{To: checked().To, ContentType: domain.JSON, Data: []byte(`{"a":1}`)}
	if m.Form() != domain.JSONForm || m.Check() != nil {
		t.Error("good data that SetData has not seen is not taken for JSON")
	}
}
