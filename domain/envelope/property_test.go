package envelope_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// Every message that is accepted can be encoded and read back as the same message,
// for the API, for a client's send, for the Go publisher, and in every form that a
// bus has.

// contentTypes are content types of every form, and some that are invalid.
var contentTypes = []string{"", domain.JSON, domain.Text, domain.Binary, "Application/JSON", "application/json; charset=utf-8",
	`application/json;charset="UTF-8"`, "application/json;charset=iso-8859-1", "application/x+json", "APPLICATION/x+JSON ; v=1", "text/html",
	"text/html; charset=UTF-8", "text/html;charset=latin1", "image/png", "text/", "/json", "json", "application/json;", "application/json; a", "a/b; c=\"\\\"", "😀/x+json"}

// datas are data that are hard to tell apart, or to encode.
var datas = []string{"", "null", "1", `"x"`, `{"a":1}`, `1,"session":"01VICTIM"`, "1}", "{\n\"a\": [1,\r\n2]}", " 1 ", `"\ud83d"`, `"<&>"`, "\"\u2028\"",
	"\xff", "a\nb", "\x00", "plain", `{"a":1,"a":2}`, strings.Repeat("[", 128) + strings.Repeat("]", 128), strings.Repeat("[", 129) + strings.Repeat("]", 129),
	"{\"a\":\"\xed\xa0\xbd\"}", "1 2", "\ufeff1", "-0", "1e999"}

var times = []string{"2026-01-31T13:00:00+01:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-05:00", "9999-12-31T23:59:59.999999999Z", "0000-01-01T00:00:00Z",
	"0000-01-01T00:00:00+05:00", "0001-01-01T00:00:00Z", "1990-12-31T23:59:60Z", "1990-12-31T15:59:60-08:00", "1990-12-31T12:30:60Z", "9999-12-31T23:59:60Z",
	"2026-01-31T12:00:00.1234567891Z", "2026-01-31T12:00:00.000000000000000000001z", "2026-01-31t12:00:00z", "2026-02-30T12:00:00Z", "2026-01-31T24:00:00Z",
	"2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "-001-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2026-01-31T12:00:00+23:59", "2026-01-31T12:00:00,5Z", ""}

var names = []string{"", "alice", "a:b", "a,b", "ä😀", "\ufffd", "a\u2028b", "<script>", `q"\`, "a b", " a ", "a\nb", "a\u0000", "a\u0085", "\xff", "%", "{}", strings.Repeat("x", 256), strings.Repeat("x", 257)}

// escapes are names as only JSON can write them.
var escapes = []string{`"\ud83d"`, `"\ud83d\ude00"`, `"\ude00\ud83d"`, `"\u0061"`, `"\u0000"`, `"\ufffd"`, `null`, `7`, `[]`, `""`, `"\/"`}

var ttls = []string{"0", "30", "30.0", "3e1", "300e-1", "0.5", "-1", "-0", "31622400", "31622401", "1e99", "1e-99", `"30"`, "null", "9223372036854775808"}

func quote(s string) string {
	q, _ := json.Marshal(s)
	return string(q)
}

// bodies draws envelopes as people and programs could write them.
func bodies() *rapid.Generator[string] {
	name := rapid.OneOf(rapid.Map(rapid.SampledFrom(names), quote), rapid.SampledFrom(escapes), rapid.Map(rapid.String(), quote))
	target := rapid.Map(rapid.SampledFrom(names), func(n string) string { return quote("user:" + n) })
	return rapid.Custom(func(t *rapid.T) string {
		var fields []string
		add := func(name string, value *rapid.Generator[string]) {
			if rapid.Bool().Draw(t, "has "+name) {
				fields = append(fields, quote(name)+":"+value.Draw(t, name))
			}
		}
		to := rapid.OneOf(target, rapid.Just(`"*"`), rapid.Just(`[]`), rapid.Just(`["room:a","user:b","*"]`), rapid.Map(name, func(n string) string { return "[" + n + "]" }))
		fields = append(fields, `"to":`+rapid.OneOf(rapid.Just(`"*"`), to).Draw(t, "to"))
		add("id", name)
		add("type", name)
		add("time", rapid.OneOf(rapid.Map(rapid.SampledFrom(times), quote), rapid.SampledFrom(escapes)))
		add("ttl", rapid.SampledFrom(ttls))
		add("headers", rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf(`{%s:%s,%s:""}`, rapid.OneOf(name, rapid.Just(`"k"`)).Draw(t, "k"), name.Draw(t, "v"), rapid.SampledFrom([]string{`"k"`, `"l"`, `""`}).Draw(t, "l"))
		}))
		add("content_type", rapid.OneOf(rapid.Map(rapid.SampledFrom(contentTypes), quote), name))
		add("data", rapid.OneOf(rapid.SampledFrom(datas), rapid.Map(rapid.SampledFrom(datas), quote), rapid.SampledFrom(escapes), rapid.Just("{\n\"a\": \"\\ud83d\"}")))
		add("data_base64", rapid.Map(rapid.SampledFrom(datas), func(d string) string { return quote(base64.StdEncoding.EncodeToString([]byte(d))) }))
		add("session", name)
		add("traceparent", rapid.OneOf(name, rapid.Just(quote(traceparent))))
		add("receipt", rapid.SampledFrom([]string{"true", "false", "null", "1", `"true"`}))
		return "{" + strings.Join(rapid.Permutation(fields).Draw(t, "order"), ", ") + "}"
	})
}

func TestWhatIsAcceptedIsReadAgainAsTheSame(t *testing.T) {
	checkUntilAccepted(t, func(t *rapid.T) (accepted bool) {
		body := bodies().Draw(t, "body")
		o := rapid.SampledFrom([]envelope.Options{{}, {Strict: true}, {NoTo: true}, {MaxData: 64}}).Draw(t, "options")
		m, err := envelope.Parse([]byte(body), o)
		if err != nil {
			return false
		}
		checkReadAgain(t, m)
		return true
	})
}

// A message that passes Check may come from anywhere, such as a program that
// uses the library.
func TestWhatPassesCheckIsReadAgainAsTheSame(t *testing.T) {
	pick := func(t *rapid.T, label string, from []string) string {
		return rapid.OneOf(rapid.SampledFrom(from), rapid.String()).Draw(t, label)
	}
	checkUntilAccepted(t, func(t *rapid.T) (accepted bool) {
		m := &domain.Message{To: to("user:alice", "*"), ID: pick(t, "id", names), Type: pick(t, "type", names), From: pick(t, "from", names), Session: pick(t, "session", names),
			ContentType: rapid.SampledFrom(contentTypes[1:]).Draw(t, "content type"), Data: []byte(pick(t, "data", datas)),
			Time: time.Unix(rapid.Int64Range(-1<<39, 1<<39).Draw(t, "seconds"), rapid.Int64Range(0, 1e9).Draw(t, "ns")), TTL: time.Duration(rapid.Int64Range(-1, 1+int64(domain.MaxTTL)).Draw(t, "ttl")),
			Headers:     map[string]string{pick(t, "name", names): pick(t, "value", names)},
			Traceparent: rapid.SampledFrom([]string{"", traceparent, "x"}).Draw(t, "traceparent"), Receipt: rapid.Bool().Draw(t, "receipt")}
		if m.Check() != nil {
			return false
		}
		m.TTL = (m.TTL + time.Second - 1).Truncate(time.Second) // whole seconds on the wire, never less
		if domain.IsJSON(m.ContentType) {
			m.Data = bytes.Trim(m.Data, " \t") // space around JSON says nothing
		}
		checkReadAgain(t, m)
		return true
	})
}

// checkUntilAccepted runs rounds of a check until enough random messages were
// accepted: most are refused, and with -short a round is short, so that it may
// have none.
func checkUntilAccepted(t *testing.T, check func(*rapid.T) (accepted bool)) {
	t.Helper()
	accepted := 0
	for round := 1; accepted < 10; round++ {
		if round > 100 {
			t.Fatalf("of the messages of 100 rounds %d were accepted", accepted)
		}
		rapid.Check(t, func(t *rapid.T) {
			if check(t) {
				accepted++
			}
		})
	}
}

func checkReadAgain(t *rapid.T, m *domain.Message) {
	t.Helper()
	line := envelope.Append(nil, m)
	if !json.Valid(line) || !utf8.Valid(line) || strings.ContainsAny(string(line), "\r\n") {
		t.Fatalf("not a line of JSON: %q", line)
	}
	again, err := envelope.Parse(line, envelope.Options{NoTo: true})
	if err != nil {
		t.Fatalf("accepted, but poison on the bus: %q: %v", line, err)
	}
	if !again.Equal(*m) {
		t.Fatalf("%+v\nwas read from %q as\n%+v", m, line, again)
	}
	if len(m.To) == 0 || len(m.Headers) > 0 {
		return // only an envelope can say so
	}
	for form, e := range headerForms(m) {
		again, err := envelope.Decode(e, envelope.Rules{})
		if err != nil {
			t.Fatalf("%s: %+v: %v", form, e, err)
		}
		if want := *m; !again.Equal(want) {
			t.Fatalf("%s: %+v\nwas read from %+v as\n%+v", form, m, e, again)
		}
	}
}

// headerForms returns a message in the forms with headers: with the data as the
// body, and with the data in base64.
func headerForms(m *domain.Message) map[string]*domain.Entry {
	var names []string
	for _, to := range m.To {
		names = append(names, quote(to.String()))
	}
	header := []domain.Field{{Name: "to", Value: "[" + strings.Join(names, ",") + "]"}, {Name: "content_type", Value: m.ContentType}, {Name: "other", Value: "\xff"}}
	for name, value := range map[string]string{"id": m.ID, "type": m.Type, "from": m.From, "session": m.Session,
		"traceparent": m.Traceparent, "receipt": map[bool]string{true: "true"}[m.Receipt]} {
		header = append(header, domain.Field{Name: name, Value: value})
	}
	if !m.Time.IsZero() {
		header = append(header, domain.Field{Name: "time", Value: m.Time.Format(time.RFC3339Nano)})
	}
	if m.TTL > 0 {
		header = append(header, domain.Field{Name: "ttl", Value: strconv.Itoa(int(m.TTL/time.Second)) + ".0"})
	}
	encoded := domain.Field{Name: "data_base64", Value: base64.StdEncoding.EncodeToString(m.Data)}
	return map[string]*domain.Entry{
		"verbatim": {Header: header, Body: m.Data},
		"base64":   {Header: append(header[:len(header):len(header)], encoded)},
	}
}

func FuzzAcceptedIsReadAgain(f *testing.F) {
	for _, value := range times {
		f.Add([]byte(`{"to":"*","time":"` + value + `","ttl":30.0}`))
	}
	for i, data := range datas {
		f.Add([]byte(`{"to":"*","content_type":` + quote(contentTypes[i%len(contentTypes)]) + `,"data_base64":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `"}`))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := envelope.Parse(body, envelope.Options{Strict: true})
		if err != nil {
			return
		}
		line := envelope.Append(nil, m)
		again, err := envelope.Decode(&domain.Entry{Body: line}, envelope.Rules{})
		if err != nil || !again.Equal(*m) {
			t.Fatalf("%q: accepted as %+v, read from %q as %+v: %v", body, m, line, again, err)
		}
	})
}
