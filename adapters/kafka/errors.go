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

// classify makes err wrap a sentinel of the domain. A broker that cannot be reached or
// does not answer in time counts as domain.ErrBusDown. It returns err unchanged if it is
// nil, wraps a sentinel already, is a gap, or is the caller's own cancellation.
func classify(err error) error {
	gap := (*transport.GapError)(nil)
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.As(err, &gap), isClassified(err):
		return err
	case errors.Is(err, kgo.ErrClientClosed):
		return domain.ErrClosed
	case isTooLarge(err):
		return fmt.Errorf("%w: %w", domain.ErrTooLarge, err)
	case isAny(err, loginErrors):
		return domain.Refused(fmt.Errorf("the brokers do not accept the URL's user, "+
			"its password or the mechanism (sasl): %w", err))
	case isAny(err, refusalErrors):
		return domain.Refused(err)
	}
	return fmt.Errorf("%w: %w", domain.ErrBusDown, err)
}

// classifyRefusal is classify for the error of a record that was published. An unusable
// topic is then a refusal of the bus (domain.ErrBusRefused), and no fault of the client
// whose message it is.
func classifyRefusal(err error) error {
	if err = classify(err); errors.Is(err, domain.ErrUnsupported) {
		return domain.Refused(err)
	}
	return err
}

// loginErrors are the answers of brokers to a login that they do not accept.
var loginErrors = []error{
	kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState,
}

// refusalErrors are the answers of brokers that have not taken a record, and will not take
// it before somebody changes something. After all other errors the broker may have the
// record, such as after NOT_ENOUGH_REPLICAS_AFTER_APPEND.
var refusalErrors = []error{
	kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.SecurityDisabled,
	kerr.NotEnoughReplicas, kerr.PolicyViolation, kerr.InvalidRecord, kerr.InvalidTimestamp,
	kerr.InvalidTopicException, kerr.InvalidRequiredAcks, kerr.UnsupportedForMessageFormat,
	kerr.UnsupportedCompressionType, kerr.CorruptMessage, kerr.InvalidConfig,
	kerr.InvalidReplicationFactor, kerr.InvalidPartitions, kerr.InvalidRequest,
	kerr.UnsupportedVersion, kerr.ThrottlingQuotaExceeded, errNotCreated,
}

// errUnanswered is the error of every record until the broker has answered for its batch.
var errUnanswered = fmt.Errorf("%w: the broker has not answered", domain.ErrBusDown)

// errUnexpectedAnswer is the error of an answer that does not fit the request.
var errUnexpectedAnswer = errors.New("the broker answered something else than what was asked")

// errTooOld is the error of brokers before Kafka 3.1.
var errTooOld = fmt.Errorf("%w: the brokers do not identify topics in what they answer: "+
	"Kafka 3.1 or newer is needed", domain.ErrUnsupported)

// brokerError is the error of an error code in a broker's answer, with the broker's own
// text; nil if the code means success.
func brokerError(code int16, text *string) error {
	err := kerr.ErrorForCode(code)
	if err != nil && text != nil && *text != "" {
		err = fmt.Errorf("%w: %s", err, *text)
	}
	return err
}

func gapError(reason domain.GapReason, format string, args ...any) error {
	return &transport.GapError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

func isAny(err error, targets []error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// isClassified reports whether err wraps a sentinel already.
func isClassified(err error) bool {
	return isAny(err, []error{
		domain.ErrBusDown, domain.ErrClosed, domain.ErrUnsupported, domain.ErrInvalid, domain.ErrTooLarge,
	})
}

// isTooLarge reports whether a broker has refused a batch because of its size.
func isTooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

// isUnknownTopic reports whether a broker does not know a topic by its id or by its name.
func isUnknownTopic(err error) bool {
	return errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.UnknownTopicOrPartition)
}

// isUnsettled reports whether err means that the brokers do not agree yet where a topic is.
// Nothing was done then, and the cause is soon over.
func isUnsettled(err error) bool {
	return isAny(err, []error{
		kerr.UnknownTopicID, kerr.InconsistentTopicID, kerr.UnknownTopicOrPartition,
		kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.FencedLeaderEpoch,
		kerr.UnknownLeaderEpoch, kerr.OffsetNotAvailable,
	})
}
