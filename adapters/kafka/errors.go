package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	lost := (*transport.GapError)(nil)
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.As(err, &lost), known(err):
		return err
	case errors.Is(err, kgo.ErrClientClosed):
		return domain.ErrClosed
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fmt.Errorf("%w: %w", domain.ErrTooLarge, err)
	case among(err, credentials):
		return domain.Refused(fmt.Errorf("the brokers do not accept the URL's user, its password or the mechanism (sasl): %w", err))
	case among(err, refusals):
		return domain.Refused(err)
	}
	return fmt.Errorf("%w: %w", domain.ErrBusDown, err)
}

// credentials are what brokers answer to who logs in.
var credentials = []error{kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState}

// refusals are what brokers answer when they have not taken a record, and will
// not before somebody changes something. What is not here leaves open whether
// they have it, such as NOT_ENOUGH_REPLICAS_AFTER_APPEND.
var refusals = []error{
	kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.SecurityDisabled,
	kerr.NotEnoughReplicas, kerr.PolicyViolation, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.InvalidTopicException,
	kerr.InvalidRequiredAcks, kerr.UnsupportedForMessageFormat, kerr.UnsupportedCompressionType, kerr.CorruptMessage,
	kerr.InvalidConfig, kerr.InvalidReplicationFactor, kerr.InvalidPartitions, kerr.InvalidRequest, kerr.UnsupportedVersion,
	kerr.ThrottlingQuotaExceeded, errNotCreated,
}

func among(err error, all []error) bool {
	return slices.ContainsFunc(all, func(e error) bool { return errors.Is(err, e) })
}

// answered is the error of a broker's answer, with its own words.
func answered(code int16, words *string) error {
	err := kerr.ErrorForCode(code)
	if err != nil && words != nil && *words != "" {
		err = fmt.Errorf("%w: %s", err, *words)
	}
	return err
}

// refused is classify of the error of a record that was published: a topic that
// is no good is the bus's refusal, not the fault of who asked for it.
func refused(err error) error {
	if err = classify(err); errors.Is(err, domain.ErrUnsupported) {
		return domain.Refused(err)
	}
	return err
}

// errUnanswered is the error of every record until its own batch was confirmed.
var errUnanswered = fmt.Errorf("%w: the broker has not answered", domain.ErrBusDown)

// known says whether the error was classified already.
func known(err error) bool {
	return among(err, []error{domain.ErrBusDown, domain.ErrClosed, domain.ErrUnsupported, domain.ErrInvalid, domain.ErrTooLarge})
}

func lost(reason domain.GapReason, format string, args ...any) error {
	return &transport.GapError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// unsettled says whether a cluster that answers so has not agreed yet on where a
// topic is. It is soon over, and nothing was done.
func unsettled(err error) bool {
	return among(err, []error{
		kerr.UnknownTopicID, kerr.InconsistentTopicID, kerr.UnknownTopicOrPartition, kerr.NotLeaderForPartition,
		kerr.LeaderNotAvailable, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.OffsetNotAvailable,
	})
}
