package envelope_test

import (
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// A trace never makes a message unreadable, since other libraries write it, too.
func TestDecodeTraceAndReceipt(t *testing.T) {
	other := strings.Replace(traceparent, "4b", "5b", 1)
	const none = `{"to":"*","data":1}`
	traced := func(s string) string { return `{"to":"*","traceparent":"` + s + `","data":1}` }
	to := domain.Field{Name: "to", Value: "*"}
	trace := domain.Field{Name: "traceparent", Value: traceparent}
	tests := map[string]struct {
		header []domain.Field
		body   string
		want   string // as Append writes it; "" means an error
	}{
		"in headers":                 {[]domain.Field{to, trace, {Name: "receipt", Value: "true"}}, `1`, `{"to":"*","traceparent":"` + traceparent + `","receipt":true,"data":1}`},
		"beside an envelope":         {[]domain.Field{trace}, none, traced(traceparent)},
		"in the envelope":            {nil, traced(other), traced(other)},
		"the envelope's comes first": {[]domain.Field{trace}, traced(other), traced(other)},
		"two traces":                 {[]domain.Field{to, trace, {Name: "traceparent", Value: other}}, `1`, none},
		"another way to write it":    {[]domain.Field{{Name: "Traceparent", Value: traceparent}}, none, traced(traceparent)},
		"a later version":            {[]domain.Field{{Name: "traceparent", Value: "01" + traceparent[2:] + "-more"}}, none, traced(traceparent)},
		"no trace":                   {[]domain.Field{to, {Name: "traceparent", Value: "x"}}, `1`, none},
		"no trace in an envelope":    {nil, traced("x"), none},
		"no receipt":                 {[]domain.Field{to, {Name: "receipt", Value: "1"}}, `1`, ``},
		"no receipt in an envelope":  {nil, `{"to":"*","receipt":1}`, ``},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := envelope.Decode(&domain.Entry{Header: tt.header, Body: []byte(tt.body)}, envelope.Rules{})
			got := ""
			if err == nil {
				got = string(envelope.Append(nil, m))
			}
			if got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// Who can be told is told.
func TestParseRefusesABadTrace(t *testing.T) {
	_, err := envelope.Parse([]byte(`{"to":"*","traceparent":"x"}`), envelope.Options{Strict: true})
	if err == nil || !strings.HasPrefix(err.Error(), "traceparent: want ") {
		t.Errorf("got %v", err)
	}
}
