package domain_test

import (
	"errors"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
)

func TestPublishErrorReadsWell(t *testing.T) {
	lost := errors.New("connection reset")
	for _, tc := range []struct {
		err  domain.PublishError
		want string
	}{
		{domain.PublishError{Err: lost}, "connection reset (outcome unknown)"},
		{domain.PublishError{Err: lost, Refused: true}, "connection reset (none of it is on the bus)"},
		{domain.PublishError{Err: lost, Accepted: 3}, "connection reset (3 accepted, the rest: outcome unknown)"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
