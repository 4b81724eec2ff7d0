package envelope_test

import (
	"encoding/json"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// The bus carries the same bytes as in the first release, which wrote strings with
// encoding/json unless they were plain ASCII. Consumers may compare or cut lines by them.
func TestStringsAreEscapedAsEncodingJSONDoes(t *testing.T) {
	marshal := func(s string) string {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, s := range []string{
		"ä<b>&", "a\u2028b\u2029c", "\"<\"", `\<`, "ä\ufffd", "\u0085&", "a\x7f<", "😀", "plain", "ä\b\f\n\r\t\x00<",
	} {
		m := &domain.Message{To: []domain.Target{domain.Everyone}, ID: s, Type: s, From: s, Session: s, Headers: map[string]string{s: s}}
		if err := m.SetData(domain.Text, []byte(s)); err != nil {
			t.Fatal(err)
		}
		q := marshal(s)
		want := `{"to":"*","id":` + q + `,"type":` + q + `,"from":` + q + `,"session":` + q + `,"headers":{` + q + `:` + q +
			`},"content_type":"text/plain","data":` + q + `}`
		if got := string(envelope.Append(nil, m)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	m := &domain.Message{To: to("user:a<b>&c", "room:ä<"), ContentType: domain.Text, Data: []byte("<p>&</p>")}
	want := `{"to":["user:a<b>&c","room:ä\u003c"],"content_type":"text/plain","data":"<p>&</p>"}`
	if got := string(envelope.Append(nil, m)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
