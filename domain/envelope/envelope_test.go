package envelope_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

func TestParse(t *testing.T) {
	tests := map[string]struct {
		body string
		want domain.Message
	}{
		"smallest": {`{"to":"user:alice"}`,
			domain.Message{To: to("user:alice"), Data: []byte("null"), ContentType: domain.JSON}},
		"everything": {`{"to":["user:alice","room:a:b","*"],"data":{"n":[1,2.5e3,"x"]},"id":"7","type":"order.paid",
			"time":"2026-01-31T13:00:00+01:00","ttl":60,"headers":{"k":"v"},"traceparent":"` + traceparent + `","receipt":true,"future":[{}]}`,
			domain.Message{To: to("user:alice", "room:a:b", "*"), Data: []byte(`{"n":[1,2.5e3,"x"]}`), ContentType: domain.JSON,
				ID: "7", Type: "order.paid", Time: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), TTL: time.Minute,
				Headers: map[string]string{"k": "v"}, Traceparent: traceparent, Receipt: true}},
		"no receipt, and a trace that nobody can follow": {`{"to":"*","receipt":false,"traceparent":"01-` + traceparent[3:] + `"}`,
			domain.Message{To: to("*"), Data: []byte("null"), ContentType: domain.JSON}},
		"JSON text data stays quoted": {`{"to":"*","data":"hello"}`,
			domain.Message{To: to("*"), Data: []byte(`"hello"`), ContentType: domain.JSON}},
		"text": {`{"to":"*","content_type":"text/plain","data":"a\nb"}`,
			domain.Message{To: to("*"), Data: []byte("a\nb"), ContentType: domain.Text}},
		"binary": {`{"to":"*","data_base64":"AP8="}`,
			domain.Message{To: to("*"), Data: []byte{0, 255}, ContentType: domain.Binary}},
		"JSON in base64": {`{"to":"*","content_type":"application/json","data_base64":"WzEsCjJd"}`,
			domain.Message{To: to("*"), Data: []byte("[1,2]"), ContentType: domain.JSON}},
		"line breaks are taken out": {"{\"to\":\"*\",\"data\": {\n\"a\":\r\n [1,\t2]} }",
			domain.Message{To: to("*"), Data: []byte(`{"a":[1,2]}`), ContentType: domain.JSON}},
		"escapes in names": {`{"\u0074o":"user:\u00e4\ud83d\ude00"}`,
			domain.Message{To: to("user:ä😀"), Data: []byte("null"), ContentType: domain.JSON}},
		"null is as if absent": {`{"to":"*","id":null,"headers":null,"data_base64":null,"data":null}`,
			domain.Message{To: to("*"), Data: []byte("null"), ContentType: domain.JSON}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := envelope.Parse([]byte(tt.body), envelope.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got, cmp.AllowUnexported(domain.Target{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseSaysWhatIsWrongAndWhere(t *testing.T) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	tests := []struct {
		body, path string // path "" means ErrSyntax
	}{
		{``, ""}, {`null`, ""}, {`[]`, ""}, {`{`, ""}, {`{"to":"*"`, ""}, {`{"to":"*"}x`, ""}, {`{"to":"*",}`, ""},
		{`{"to" "*"}`, ""}, {`{to:"*"}`, ""}, {"{\"to\":\"*\",\"data\":\"a\nb\"}", ""}, {`{"to":"*","data":01}`, ""},
		{`{"to":"*","data":1.}`, ""}, {`{"to":"*","data":tru}`, ""}, {`{"to":"*","data":"\x"}`, ""},
		{`{"to":"*","data":"\u12g4"}`, ""}, {"{\"to\":\"*\",\"data\":\"\xff\"}", ""}, {`{"to":"*","data":` + deep + `}`, ""},
		{`{}`, "to"}, {`{"to":""}`, "to"}, {`{"to":7}`, "to"}, {`{"to":{}}`, "to"}, {`{"to":[]}`, "to"},
		{`{"to":"alice"}`, "to"}, {`{"to":"group:x"}`, "to"}, {`{"to":"user:"}`, "to"},
		{`{"to":"user:` + strings.Repeat("x", 257) + `"}`, "to"}, {`{"to":"user:a\u0000"}`, "to"},
		{`{"to":["*","user:a",7]}`, "to[2]"}, {`{"to":["*","nobody"]}`, "to[1]"},
		{`{"to":[` + strings.Repeat(`"*",`, 1000) + `"*"]}`, "to"},
		{`{"to":"*","ttl":-1}`, "ttl"}, {`{"to":"*","ttl":1.5}`, "ttl"}, {`{"to":"*","ttl":"60"}`, "ttl"},
		{`{"to":"*","ttl":99999999999999999999}`, "ttl"}, {`{"to":"*","time":"yesterday"}`, "time"}, {`{"to":"*","time":0}`, "time"},
		{`{"to":"*","id":1}`, "id"}, {`{"to":"*","id":"` + strings.Repeat("x", 300) + `"}`, "id"}, {`{"to":"*","type":"a\u0007"}`, "type"},
		{`{"to":"*","headers":[]}`, "headers"}, {`{"to":"*","headers":{"a":1}}`, "headers.a"},
		{`{"to":"*","data":1,"data_base64":""}`, "data_base64"}, {`{"to":"*","data_base64":"A"}`, "data_base64"},
		{`{"to":"*","data":{},"content_type":"image/png"}`, "data"}, {`{"to":"*","data_base64":"/w==","content_type":"text/plain"}`, "data_base64"},
		{`{"to":"*","content_type":"application/json;a=` + strings.Repeat("x", 256) + `","data":1}`, "content_type"},
		{`{"to":"*","` + strings.Repeat("x", 1000) + `":1}`, strings.Repeat("x", 64) + "…"},
		{`{"to":"*","headers":{"` + strings.Repeat("x", 1000) + `":1}}`, "headers." + strings.Repeat("x", 64) + "…"},
		{`{"to":"*","oops":1}`, "oops"}, {`{"to":"*","from":"eve"}`, "from"},
	}
	for _, tt := range tests {
		_, err := envelope.Parse([]byte(tt.body), envelope.Options{Strict: true})
		if !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%.60s: got %v, want an ErrInvalid", tt.body, err)
			continue
		}
		var field *domain.FieldError
		if errors.As(err, &field) != (tt.path != "") || errors.Is(err, envelope.ErrSyntax) != (tt.path == "") ||
			field != nil && field.Path != tt.path {
			t.Errorf("%.60s: got %v (%+v), want path %q", tt.body, err, field, tt.path)
		}
	}
}

func TestDataOverTheLimitIsTooLarge(t *testing.T) {
	for body, size := range map[string]int{
		`{"to":"*","data":"123456789"}`:               11,
		`{"to":"*","data_base64":"MTIzNDU2Nzg5MA=="}`: 10,
	} {
		if _, err := envelope.Parse([]byte(body), envelope.Options{MaxData: size}); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if _, err := envelope.Parse([]byte(body), envelope.Options{MaxData: size - 1}); !errors.Is(err, domain.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", body, err)
		}
	}
}

func TestDecode(t *testing.T) {
	field := func(kv ...string) (h []domain.Field) {
		for i := 0; i < len(kv); i += 2 {
			h = append(h, domain.Field{Name: kv[i], Value: kv[i+1]})
		}
		return h
	}
	tests := map[string]struct {
		entry domain.Entry
		rules envelope.Rules
		want  string // as Append writes it; "" means an error
	}{
		"envelope":               {domain.Entry{UUID: "u", Body: []byte(`{"to":"*","data":1}`)}, envelope.Rules{}, `{"to":"*","id":"u","data":1}`},
		"its own id comes first": {domain.Entry{UUID: "u", Body: []byte(`{"to":"*","id":"i","data":1}`)}, envelope.Rules{}, `{"to":"*","id":"i","data":1}`},
		"fields": {domain.Entry{Header: field("to", "user:a", "type", "t", "ttl", "5", "trace", "x"), Body: []byte(`{"n":1}`)},
			envelope.Rules{}, `{"to":"user:a","type":"t","ttl":5,"data":{"n":1}}`},
		"several targets":         {domain.Entry{Header: field("to", `["user:a", "room:b"]`), Body: []byte(`1`)}, envelope.Rules{}, `{"to":["user:a","room:b"],"data":1}`},
		"no data":                 {domain.Entry{Header: field("to", "*")}, envelope.Rules{}, `{"to":"*","data":null}`},
		"text":                    {domain.Entry{Header: field("to", "*"), Body: []byte("hello")}, envelope.Rules{}, `{"to":"*","content_type":"text/plain","data":"hello"}`},
		"bytes":                   {domain.Entry{Header: field("to", "*"), Body: []byte{0xff}}, envelope.Rules{}, `{"to":"*","data_base64":"/w=="}`},
		"base64 field":            {domain.Entry{Header: field("to", "*", "data_base64", "/w==")}, envelope.Rules{}, `{"to":"*","data_base64":"/w=="}`},
		"body is no JSON":         {domain.Entry{Header: field("to", "*", "content_type", "application/json"), Body: []byte("{")}, envelope.Rules{}, ``},
		"bad target":              {domain.Entry{Header: field("to", "[1")}, envelope.Rules{}, ``},
		"bad target in list":      {domain.Entry{Header: field("to", `["x"]`)}, envelope.Rules{}, ``},
		"nothing":                 {domain.Entry{}, envelope.Rules{}, ``},
		"ttl as others write it":  {domain.Entry{Header: field("to", "*", "ttl", "30.0")}, envelope.Rules{}, `{"to":"*","ttl":30,"data":null}`},
		"ttl with a zero":         {domain.Entry{Header: field("to", "*", "ttl", "030")}, envelope.Rules{}, `{"to":"*","ttl":30,"data":null}`},
		"half a second":           {domain.Entry{Header: field("to", "*", "ttl", "0.5")}, envelope.Rules{}, ``},
		"empty is absent":         {domain.Entry{UUID: "u", Header: field("to", "*", "id", "", "type", "", "content_type", "", "time", "", "ttl", "", "from", "", "session", ""), Body: []byte("1")}, envelope.Rules{}, `{"to":"*","id":"u","data":1}`},
		"no targets":              {domain.Entry{Header: field("to", "")}, envelope.Rules{}, ``},
		"an empty list":           {domain.Entry{Header: field("to", "[]")}, envelope.Rules{}, ``},
		"two headers":             {domain.Entry{Header: field("to", "user:a", "to", "user:b"), Body: []byte("1")}, envelope.Rules{}, ``},
		"two other headers":       {domain.Entry{Header: field("to", "*", "x", "1", "x", "2"), Body: []byte("1")}, envelope.Rules{}, `{"to":"*","data":1}`},
		"empty text":              {domain.Entry{Header: field("to", "*", "content_type", "text/plain")}, envelope.Rules{}, `{"to":"*","content_type":"text/plain","data":""}`},
		"empty bytes":             {domain.Entry{Header: field("to", "*", "data_base64", "")}, envelope.Rules{}, `{"to":"*","data_base64":""}`},
		"no JSON":                 {domain.Entry{Header: field("to", "*", "content_type", "application/x+json")}, envelope.Rules{}, `{"to":"*","content_type":"application/x+json","data":null}`},
		"empty bytes are no JSON": {domain.Entry{Header: field("to", "*", "content_type", "application/json", "data_base64", "")}, envelope.Rules{}, ``},
		"forged JSON":             {domain.Entry{Header: field("to", "*", "content_type", "Application/x+JSON"), Body: []byte(`1,"session":"x"`)}, envelope.Rules{}, ``},
		"HTML":                    {domain.Entry{Header: field("to", "*", "content_type", "text/html; charset=utf-8"), Body: []byte(`<p>`)}, envelope.Rules{}, `{"to":"*","content_type":"text/html; charset=utf-8","data":"<p>"}`},
		"another charset":         {domain.Entry{Header: field("to", "*", "content_type", "text/html; charset=latin1"), Body: []byte("\xe4")}, envelope.Rules{}, `{"to":"*","content_type":"text/html; charset=latin1","data_base64":"5A=="}`},
		"a time that is not one":  {domain.Entry{Header: field("to", "*", "time", "9999-12-31T23:59:59-05:00")}, envelope.Rules{}, ``},
		"half a surrogate pair":   {domain.Entry{Header: field("to", `["user:\ud83d"]`)}, envelope.Rules{}, ``},
		"data keeps its halves":   {domain.Entry{Header: field("to", "*"), Body: []byte(`"\ud83d"`)}, envelope.Rules{}, `{"to":"*","data":"\ud83d"}`},
		"an id that is no UTF-8":  {domain.Entry{Header: field("to", "*", "id", "\xff")}, envelope.Rules{}, ``},
		"a UUID that is no UTF-8": {domain.Entry{UUID: "\xff", Body: []byte(`{"to":"*"}`)}, envelope.Rules{}, ``},
		"a name twice":            {domain.Entry{Body: []byte(`{"to":"user:a","to":"user:b"}`)}, envelope.Rules{}, ``},
		"adopted, 42.0":           {domain.Entry{Body: []byte(`{"user_id":42.0}`)}, envelope.Rules{UserField: "user_id"}, `{"to":"user:42","data":{"user_id":42.0}}`},
		"adopted, large number":   {domain.Entry{Body: []byte(`{"user_id":18446744073709551616}`)}, envelope.Rules{UserField: "user_id"}, `{"to":"user:18446744073709551616","data":{"user_id":18446744073709551616}}`},
		"adopted, half a user":    {domain.Entry{Body: []byte(`{"user_id":1.5}`)}, envelope.Rules{UserField: "user_id"}, ``},
		"adopted, user twice":     {domain.Entry{Body: []byte(`{"user_id":"a","user_id":"b"}`)}, envelope.Rules{UserField: "user_id"}, ``},
		"adopted, other twice":    {domain.Entry{Body: []byte(`{"user_id":"a","\ud83d":1,"x":1,"x":2,"USER_ID":"b"}`)}, envelope.Rules{UserField: "user_id"}, `{"to":"user:a","data":{"user_id":"a","\ud83d":1,"x":1,"x":2,"USER_ID":"b"}}`},
		"adopted, half a pair":    {domain.Entry{Body: []byte(`{"user_id":"\ud83d"}`)}, envelope.Rules{UserField: "user_id"}, ``},
		"too large":               {domain.Entry{Header: field("to", "*"), Body: []byte("12345")}, envelope.Rules{MaxData: 4}, ``},
		"adopted": {domain.Entry{UUID: "u", Body: []byte(`{"user_id":"alice","id":"not ours"}`)}, envelope.Rules{UserField: "user_id"},
			`{"to":"user:alice","data":{"user_id":"alice","id":"not ours"}}`},
		"adopted, number":  {domain.Entry{Body: []byte(`{"user_id":42}`)}, envelope.Rules{UserField: "user_id"}, `{"to":"user:42","data":{"user_id":42}}`},
		"adopted, no user": {domain.Entry{Body: []byte(`{"user":42}`)}, envelope.Rules{UserField: "user_id"}, ``},
		"adopted, null":    {domain.Entry{Body: []byte(`{"user_id":null}`)}, envelope.Rules{UserField: "user_id"}, ``},
		"adopted, array":   {domain.Entry{Body: []byte(`[]`)}, envelope.Rules{UserField: "user_id"}, ``},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := envelope.Decode(&tt.entry, tt.rules)
			if tt.want == "" {
				if err == nil {
					t.Errorf("got %s, want an error", envelope.Append(nil, m))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := string(envelope.Append(nil, m)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestDecodedMessageOwnsItsMemory(t *testing.T) {
	for _, body := range []string{`{"to":"user:alice","id":"i","data":"hello"}`, `{"user_id":"alice"}`} {
		entry := domain.Entry{Body: []byte(body)}
		rules := envelope.Rules{}
		if strings.Contains(body, "user_id") {
			rules.UserField = "user_id"
		}
		m, err := envelope.Decode(&entry, rules)
		if err != nil {
			t.Fatal(err)
		}
		before := string(envelope.Append(nil, m))
		clear(entry.Body)
		if after := string(envelope.Append(nil, m)); after != before {
			t.Errorf("%s became %s", before, after)
		}
	}
}

// FuzzParse compares the scanner with encoding/json, and each message with what is
// read back after it was written.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"to":"user:a","data":{"a":[1,-0.5e+7,true,null,"\u00e9\n"]}}`, `{"to":["*"],"data_base64":"AA=="}`,
		`{"to":"*","content_type":"text/plain","data":"x"}`, `{`, `[1]`, "{\"to\":\"*\",\"data\":[\n1]}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := envelope.Parse(body, envelope.Options{})
		if err != nil {
			if !errors.Is(err, domain.ErrInvalid) {
				t.Fatalf("%q: unclassified error %v", body, err)
			}
			if errors.Is(err, envelope.ErrSyntax) && json.Valid(body) && utf8.Valid(body) &&
				strings.HasPrefix(strings.TrimSpace(string(body)), "{") && !strings.Contains(err.Error(), "nested") {
				t.Fatalf("%q is valid JSON, but: %v", body, err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is no valid JSON, but was read", body)
		}
		if domain.IsJSON(m.ContentType) && (!json.Valid(m.Data) || strings.ContainsAny(string(m.Data), "\r\n")) {
			t.Fatalf("data %q breaks its promise", m.Data)
		}
		line := envelope.Append(nil, m)
		again, err := envelope.Parse(line, envelope.Options{})
		if err != nil {
			t.Fatalf("%q -> %q: %v", body, line, err)
		}
		if diff := cmp.Diff(m, again, cmp.AllowUnexported(domain.Target{})); diff != "" {
			t.Fatalf("%q -> %q: %s", body, line, diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("user:a", "", []byte(`{"n":1}`), "")
	f.Add("[\"*\"]", "text/plain", []byte("hi"), "")
	f.Add("", "", []byte(`{"user_id":1}`), "user_id")
	f.Fuzz(func(t *testing.T, to, contentType string, body []byte, userField string) {
		e := domain.Entry{Body: body, Header: []domain.Field{{Name: "to", Value: to}, {Name: "content_type", Value: contentType}}}
		m, err := envelope.Decode(&e, envelope.Rules{UserField: userField, MaxData: 1 << 16})
		if err != nil {
			return
		}
		if line := envelope.Append(nil, m); !json.Valid(line) || !utf8.Valid(line) {
			t.Fatalf("not JSON: %q", line)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	body := []byte(`{"to":"user:alice","id":"01JAAAAAAAAAAAAAAAAAAAAAAA","type":"order.paid","data":{"order":12345,"note":"` + strings.Repeat("x", 90) + `"}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := envelope.Parse(body, envelope.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	m := &domain.Message{To: to("user:alice"), ID: "01JAAAAAAAAAAAAAAAAAAAAAAA", Type: "order.paid"}
	if err := m.SetData(domain.JSON, []byte(`{"order":12345,"note":"`+strings.Repeat("x", 90)+`"}`)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		envelope.Append(nil, m)
	}
}

func to(names ...string) (all []domain.Target) {
	for _, n := range names {
		t, err := domain.ParseTarget(n)
		if err != nil {
			panic(err)
		}
		all = append(all, t)
	}
	return all
}
