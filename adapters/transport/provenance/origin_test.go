package provenance_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

func TestOriginIsReadAsItWasWritten(t *testing.T) {
	here, there := domain.Location{Log: 0xc0ffee, Position: "\x0a\x1b"}, domain.Location{Log: 1<<64 - 1, Position: "\x00"}
	for text, want := range map[string]provenance.Origin{
		"1732547000123 0a1a c0ffee:0a1b ffffffffffffffff:00": {Locations: []domain.Location{here, there}, After: "\x0a\x1a", Time: time.UnixMilli(1732547000123).UTC()},
		"0 - c0ffee:0a1b late":                               {Locations: []domain.Location{here}, Late: true},
	} {
		if got := want.String(); got != text {
			t.Errorf("written: %s, want %s", got, text)
		}
		got, err := provenance.ParseOrigin(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
}

func TestBadOriginIsRefused(t *testing.T) {
	for _, text := range []string{
		"", " ", "0", "0 -", "0 - ", "x - 1:00", "-1 - 1:00", "0 0 1:00", "0 -- 1:00", "0 - 0:00", "0 - 1:", "0 - 1:0", "0 - :00", "0 - 1",
		"0 - 10000000000000000:00", "0 - 1:00 late late", "0 - 1:00  late", "0  - 1:00", "0 - 1:00 1:00 1:00 1:00 1:00",
		"0 - 1:" + strings.Repeat("00", domain.MaxPosition+1),
	} {
		if got, err := provenance.ParseOrigin(text); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func FuzzParseOrigin(f *testing.F) {
	f.Add("1732547000123 0a1a c0ffee:0a1b ffffffffffffffff:00")
	f.Add("0 - c0ffee:0a1b late")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := provenance.ParseOrigin(text)
		if err != nil {
			return
		}
		again, err := provenance.ParseOrigin(o.String())
		if diff := cmp.Diff(o, again); err != nil || diff != "" {
			t.Errorf("%q: %v %s", o.String(), err, diff)
		}
	})
}
