package domain_test

import (
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
)

func TestParseTraceparent(t *testing.T) {
	const (
		trace = "4bf92f3577b34da6a3ce929d0e0e4736"
		span  = "00f067aa0ba902b7"
		good  = "00-" + trace + "-" + span + "-01"
	)
	valid := []struct {
		text, want string
		sampled    bool
	}{
		{good, good, true},
		{"00-" + trace + "-" + span + "-00", "00-" + trace + "-" + span + "-00", false},
		{"00-" + trace + "-" + span + "-03", "00-" + trace + "-" + span + "-03", true},
		{"00-" + trace + "-" + span + "-02", "00-" + trace + "-" + span + "-02", false},
		{"00-" + trace + "-" + span + "-0b", "00-" + trace + "-" + span + "-0b", true},
		{"00-" + trace + "-" + span + "-fa", "00-" + trace + "-" + span + "-fa", false},
		{"01-" + trace + "-" + span + "-01", good, true},
		{"cc-" + trace + "-" + span + "-0f-what-comes-later", good, true},
		{"cc-" + trace + "-" + span + "-fe-", "00-" + trace + "-" + span + "-00", false},
	}
	for _, tt := range valid {
		got := domain.ParseTraceparent(tt.text)
		if got != tt.want || domain.IsSampled(got) != tt.sampled {
			t.Errorf("%s: got %q, sampled %t; want %q, sampled %t",
				tt.text, got, domain.IsSampled(got), tt.want, tt.sampled)
		}
	}
	for _, text := range []string{
		"", "00", good + "-", good + "0", good + " ", " " + good, good[:len(good)-1],
		"ff" + good[2:], "0g" + good[2:], "0" + good, strings.ToUpper(good),
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01",
		"00-" + trace + "-" + strings.Repeat("0", 16) + "-01",
		"00-" + trace[:31] + "G-" + span + "-01", "00-" + trace + "-" + span[:15] + "x-01",
		"00-" + trace + "-" + span + "-0x", "00_" + trace + "-" + span + "-01",
		"00-" + trace + "_" + span + "-01", "00-" + trace + "-" + span + "_01",
		"01-" + trace + "-" + span + "-01x", "01-" + trace + "-" + span + "-0",
	} {
		if got := domain.ParseTraceparent(text); got != "" {
			t.Errorf("%q: got %q, want that it is as none", text, got)
		}
	}
	if domain.IsSampled("") || domain.IsSampled("1") {
		t.Error("what is no traceparent is sampled")
	}
}

func FuzzParseTraceparent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more")
	f.Fuzz(func(t *testing.T, text string) {
		got := domain.ParseTraceparent(text)
		if err := domain.CheckTraceparent(got); err != nil {
			t.Errorf("%q became %q: %v", text, got, err)
		}
	})
}
