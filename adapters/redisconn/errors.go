package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/domain"
)

// An Error is what the server answered instead of a result, such as
// "WRONGTYPE Operation against a key holding the wrong kind of value".
type Error string

func (e Error) Error() string { return string(e) }

// Classify puts domain.ErrBusDown into an error that says that the server
// cannot be reached, does not answer in time, or takes nothing from anybody
// now. What it refuses for a reason in the request itself passes through, and
// so do nil and an end that the caller asked for.
func Classify(err error) error {
	switch {
	case err == nil, errors.Is(err, domain.ErrBusDown), errors.Is(err, domain.ErrClosed), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, redis.ErrClosed):
		return domain.ErrClosed
	}
	answer, ok := serverAnswer(err)
	if ok && isMoved(answer) {
		return fmt.Errorf("%w: the server belongs to a Redis Cluster, on which streams are not supported: %w",
			domain.ErrBusDown, err)
	}
	if ok && !isUnavailable(answer) {
		return err
	}
	return fmt.Errorf("%w: %w", domain.ErrBusDown, err)
}

func serverAnswer(err error) (string, bool) {
	if own := Error(""); errors.As(err, &own) {
		return string(own), true
	}
	var theirs redis.Error
	if errors.As(err, &theirs) {
		return theirs.Error(), true
	}
	return "", false
}

// isUnavailable says whether an answer is about the server's state rather than
// about the request.
func isUnavailable(answer string) bool {
	code, rest, _ := strings.Cut(answer, " ")
	switch code {
	case "LOADING", "MASTERDOWN", "READONLY", "OOM", "MISCONF", "NOREPLICAS", "BUSY", "CLUSTERDOWN", "TRYAGAIN",
		"UNBLOCKED", "NOAUTH", "WRONGPASS":
		return true
	}
	return strings.HasPrefix(rest, "max number of clients")
}

// isMoved says whether an answer sends us to another server of a cluster.
func isMoved(answer string) bool {
	code, _, _ := strings.Cut(answer, " ")
	return code == "MOVED" || code == "ASK"
}

// classifyRefusal is Classify for a command that publishes: what the server answered is a
// refusal, with which it is certain that the server does not have the message.
func classifyRefusal(err error) error {
	why := Classify(err)
	answer, ok := serverAnswer(err)
	switch {
	case !ok:
		return why
	case strings.HasPrefix(answer, "OOM "):
		return &refusedError{fmt.Errorf("%w: %w", domain.ErrBusFull, why)}
	}
	return &refusedError{why}
}

// A refusedError is a domain.ErrBusRefused. Whether it is a domain.ErrBusDown as well
// is for why to say; its text does not say so, for the bus is there.
type refusedError struct{ why error }

func (r *refusedError) Error() string {
	answer := strings.Replace(r.why.Error(), domain.ErrBusDown.Error()+": ", "", 1)
	return domain.ErrBusRefused.Error() + ": " + answer
}

func (r *refusedError) Unwrap() []error { return []error{domain.ErrBusRefused, r.why} }
