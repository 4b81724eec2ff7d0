package session_test

import (
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

const aTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestTracedFrames(t *testing.T) {
	for _, tt := range []struct {
		name, traceparent string
		headers           map[string]string
		want              string
	}{
		{"no trace", "", nil, ``},
		{"no trace, with headers", "", map[string]string{"a": "1"}, `,"headers":{"a":"1"}`},
		{"no headers", aTrace, nil, `,"headers":{"traceparent":"` + aTrace + `"}`},
		{"headers", aTrace, map[string]string{"z": "1", "a": "2"}, `,"headers":{"a":"2","traceparent":"` + aTrace + `","z":"1"}`},
		{"one of the application's own", aTrace, map[string]string{"traceparent": "mine"}, `,"headers":{"traceparent":"mine"}`},
		{"another spelling", aTrace, map[string]string{"TraceParent": "mine"}, `,"headers":{"TraceParent":"mine"}`},
	} {
		m := &domain.Message{ID: "i", Data: []byte(`1`), ContentType: domain.JSON, Headers: tt.headers, Traceparent: tt.traceparent}
		had := len(m.Headers)
		got := string(session.TracedEncoder{}.Message(system("chat"), m, targets("*")[0], domain.Cursor{}).Bytes)
		want := `{"op":"message","system":"chat","id":"i","to":"*"` + tt.want + `,"data":1}`
		if got != want || len(m.Headers) != had {
			t.Errorf("%s:\n got %s\nwant %s; the message has %d headers", tt.name, got, want, len(m.Headers))
		}
		plain := string(session.V1Encoder{}.Message(system("chat"), m, targets("*")[0], domain.Cursor{}).Bytes)
		if strings.Contains(plain, aTrace) {
			t.Errorf("%s: whoever did not ask is told: %s", tt.name, plain)
		}
	}
}
