package natsconn_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/domain"
)

// How each error is classified for a follower and for a publisher.
func TestErrorsAreKnownForWhatTheyAre(t *testing.T) {
	all := []error{
		domain.ErrBusDown, domain.ErrBusRefused, domain.ErrForbidden, domain.ErrInvalid, domain.ErrTooLarge, domain.ErrUnsupported, domain.ErrClosed,
	}
	of := func(sentinels ...error) []error { return sentinels }
	for _, c := range []struct {
		err                 error
		followed, published []error
	}{
		{nats.ErrMaxPayload, of(domain.ErrTooLarge), of(domain.ErrTooLarge)},
		{nats.ErrPermissionViolation, of(domain.ErrForbidden), of(domain.ErrForbidden, domain.ErrBusRefused, domain.ErrBusDown)},
		{nats.ErrBadSubject, of(domain.ErrInvalid), of(domain.ErrInvalid)},
		{nats.ErrBadHeaderMsg, of(domain.ErrInvalid), of(domain.ErrInvalid)},
		{nats.ErrConnectionClosed, of(domain.ErrBusDown), of(domain.ErrBusDown)},
		{nats.ErrAuthorization, of(domain.ErrBusDown), of(domain.ErrBusDown)}, // of a connection that ends: what was on its way is not known
		{nats.ErrAuthRevoked, of(domain.ErrBusDown), of(domain.ErrBusDown)},
		{nats.ErrNoResponders, of(domain.ErrBusDown), of(domain.ErrBusDown)},
		{nats.ErrTimeout, of(domain.ErrBusDown), of(domain.ErrBusDown)},
		{context.DeadlineExceeded, of(domain.ErrBusDown), of(domain.ErrBusDown)},
		{context.Canceled, of(), of()},
		{domain.ErrClosed, of(domain.ErrClosed), of(domain.ErrClosed)},
		{errors.New("odd"), of(domain.ErrBusDown), of(domain.ErrBusDown)},
		{domain.Refused(errors.New("full")), of(domain.ErrBusRefused, domain.ErrBusDown), of(domain.ErrBusRefused, domain.ErrBusDown)},
		{&domain.GapError{Reason: domain.Trimmed}, of(), of()},
	} {
		check := func(got error, want []error) {
			t.Helper()
			for _, s := range all {
				wanted := false
				for _, w := range want {
					wanted = wanted || w == s
				}
				if errors.Is(got, s) != wanted {
					t.Errorf("%v: is %v: %v, want %v", c.err, s, !wanted, wanted)
				}
			}
			if !errors.Is(got, c.err) {
				t.Errorf("%v: lost its cause: %v", c.err, got)
			}
		}
		check(natsconn.Classify(fmt.Errorf("x: %w", c.err)), c.followed)
		check(natsconn.ClassifyRefusal(fmt.Errorf("x: %w", c.err)), c.published)
	}
	if natsconn.Classify(nil) != nil || natsconn.ClassifyRefusal(nil) != nil || domain.Refused(nil) != nil {
		t.Error("nothing is something")
	}
}
