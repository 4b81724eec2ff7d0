package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// classify gives an error the sentinel of the domain that says what it is. What
// cannot be reached, does not answer in time or refuses for a reason that lies
// with the cluster is a bus that is down. A break, nil, and an end that the
// caller asked for pass through.
func classify(err error) error {
	lost := (*transport.BreakError)(nil)
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.As(err, &lost), known(err):
		return err
	case errors.Is(err, kgo.ErrClientClosed):
		return domain.ErrClosed
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fmt.Errorf("%w: %w", domain.ErrTooLarge, err)
	case errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.InvalidTopicException):
		return fmt.Errorf("%w: %w", domain.ErrInvalid, err)
	}
	return fmt.Errorf("%w: %w", domain.ErrBusDown, err)
}

// known says whether the error was classified already.
func known(err error) bool {
	for _, sentinel := range []error{domain.ErrBusDown, domain.ErrClosed, domain.ErrUnsupported, domain.ErrInvalid, domain.ErrTooLarge} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

func lost(reason domain.GapReason, format string, args ...any) error {
	return &transport.BreakError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// unsettled says whether a cluster that answers so has not agreed yet on where a
// topic is. It is soon over, and nothing was done.
func unsettled(err error) bool {
	for _, e := range []error{
		kerr.UnknownTopicID, kerr.InconsistentTopicID, kerr.UnknownTopicOrPartition, kerr.NotLeaderForPartition,
		kerr.LeaderNotAvailable, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.OffsetNotAvailable,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
