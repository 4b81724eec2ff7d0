package domain_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
)

func TestCheckTraceparent(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	zeros := func(at, n int) string { return good[:at] + strings.Repeat("0", n) + good[at+n:] }
	tests := map[string]struct {
		text string
		ok   bool
	}{
		"none":              {"", true},
		"good":              {good, true},
		"not sampled":       {good[:53] + "00", true},
		"other flags":       {good[:53] + "ff", true},
		"another version":   {"01" + good[2:], false},
		"the forbidden one": {"ff" + good[2:], false},
		"upper case":        {strings.ToUpper(good), false},
		"no trace":          {zeros(3, 32), false},
		"no parent":         {zeros(36, 16), false},
		"short":             {good[:54], false},
		"long":              {good + "0", false},
		"another separator": {good[:35] + "_" + good[36:], false},
		"no hexadecimal":    {good[:54] + "g", false},
		"space around it":   {" " + good[:54], false},
		"not even ASCII":    {good[:53] + "\u00e4", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := domain.CheckTraceparent(tt.text)
			if tt.ok != (err == nil) || err != nil && !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("%q: %v", tt.text, err)
			}
			m := domain.Message{To: []domain.Target{domain.Everyone}, Traceparent: tt.text}
			if err := m.SetData(domain.JSON, []byte("1")); err != nil {
				t.Fatal(err)
			}
			if tt.ok != (m.Check() == nil) {
				t.Errorf("Check of a message with %q: %v", tt.text, m.Check())
			}
		})
	}
}
