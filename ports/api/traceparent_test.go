package api_test

import (
	"net/http"
	"testing"

	"github.com/fanfarebus/fanfare/ports/api"
)

func TestMessagesAreOfTheRequestsTrace(t *testing.T) {
	const (
		good  = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		other = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	)
	for name, tt := range map[string]struct {
		header []string
		body   string
		want   []string
	}{
		"no header":         {nil, `{"to":"*"}`, []string{""}},
		"one message":       {[]string{good}, `{"to":"*"}`, []string{good}},
		"a batch":           {[]string{good}, `[{"to":"*"},{"to":"*","traceparent":"` + other + `"},{"to":"*"}]`, []string{good, other, good}},
		"a later version":   {[]string{"01" + good[2:] + "-x"}, `{"to":"*"}`, []string{good}},
		"one that is bad":   {[]string{good[1:]}, `{"to":"*"}`, []string{""}},
		"two of them":       {[]string{good, other}, `{"to":"*"}`, []string{""}},
		"an empty one":      {[]string{""}, `{"to":"*"}`, []string{""}},
		"in the body alone": {nil, `{"to":"*","traceparent":"` + other + `"}`, []string{other}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bus{}
			_, h := newAPI(t, b, api.Config{})
			r := request(tt.body)
			for _, v := range tt.header {
				r.Header.Add("traceparent", v)
			}
			if a := do(t, h, r); a.Status != http.StatusAccepted || len(b.got) != len(tt.want) {
				t.Fatalf("%+v, %d messages", a, len(b.got))
			}
			for i, m := range b.got {
				if m.Traceparent != tt.want[i] {
					t.Errorf("message %d: got %q, want %q", i, m.Traceparent, tt.want[i])
				}
			}
		})
	}
}
