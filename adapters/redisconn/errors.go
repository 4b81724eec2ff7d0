package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/domain"
)

// An Error is an error reply of the server, such as "WRONGTYPE Operation against a
// key holding the wrong kind of value".
type Error string

// Error returns what the server said.
func (e Error) Error() string { return string(e) }

// Classify wraps [domain.ErrBusDown] around an error that says that the server
// cannot be reached, does not reply in time, or cannot serve anybody at present.
//
// If the server does not know the command, or the user may not use it, the result wraps
// [domain.ErrBusRefused] as well, and its text says so instead. Classify returns other
// errors as they are: those with which the server refuses this one request,
// [domain.ErrClosed], a cancelled context, and nil. The closed client of go-redis becomes
// [domain.ErrClosed].
func Classify(err error) error {
	switch {
	case err == nil, errors.Is(err, domain.ErrBusDown), errors.Is(err, domain.ErrClosed),
		errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, redis.ErrClosed):
		return domain.ErrClosed
	}
	answer, ok := serverAnswer(err)
	if ok && isRedirection(answer) {
		const problem = "another server of the Redis Cluster has the topic " +
			"(the URL needs cluster=true or, if it says that, cluster_map is wrong)"
		return fmt.Errorf("%w: %s: %w", domain.ErrBusDown, problem, err)
	}
	if ok && isRefusal(answer) {
		return domain.Refused(err)
	}
	if ok && !isUnavailable(answer) {
		return err
	}
	return fmt.Errorf("%w: %w", domain.ErrBusDown, err)
}

// serverAnswer returns the error reply in err's chain, and whether there is one.
func serverAnswer(err error) (string, bool) {
	if own := Error(""); errors.As(err, &own) {
		return string(own), true
	}
	var goRedis redis.Error
	if errors.As(err, &goRedis) {
		return goRedis.Error(), true
	}
	return "", false
}

// isUnavailable reports whether an error reply is about the state of the server
// and not about the request.
func isUnavailable(answer string) bool {
	code, rest, _ := strings.Cut(answer, " ")
	switch code {
	case "LOADING", "MASTERDOWN", "READONLY", "OOM", "MISCONF", "NOREPLICAS", "BUSY",
		"CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED", "NOAUTH", "WRONGPASS":
		return true
	}
	return strings.HasPrefix(rest, "max number of clients")
}

// isRedirection reports whether an error reply names another server of a Redis
// Cluster.
func isRedirection(answer string) bool {
	code, _, _ := strings.Cut(answer, " ")
	return code == "MOVED" || code == "ASK"
}

// hasNoSlot reports whether an error reply says that the cluster is down, or that the
// server knows nobody who holds the topic, as one does that has left the cluster.
func hasNoSlot(answer string) bool { return strings.HasPrefix(answer, "CLUSTERDOWN ") }

// classifyRefusal is [Classify] for the error of a command that publishes. An error
// reply makes it certain that the server does not have the message, so the result
// wraps [domain.ErrBusRefused] then; and [domain.ErrBusFull] if the server is out
// of memory.
func classifyRefusal(err error) error {
	classified := Classify(err)
	answer, ok := serverAnswer(err)
	switch {
	case !ok, errors.Is(classified, domain.ErrBusRefused):
		return classified
	case strings.HasPrefix(answer, "OOM "):
		return &refusedError{fmt.Errorf("%w: %w", domain.ErrBusFull, classified)}
	}
	return &refusedError{classified}
}

// A refusedError wraps [domain.ErrBusRefused] and the server's reason. The reason
// may wrap [domain.ErrBusDown] as well, but the text does not say that the bus is
// down: the server did reply.
type refusedError struct{ reason error }

func (e *refusedError) Error() string {
	answer := strings.Replace(e.reason.Error(), domain.ErrBusDown.Error()+": ", "", 1)
	return domain.ErrBusRefused.Error() + ": " + answer
}

func (e *refusedError) Unwrap() []error { return []error{domain.ErrBusRefused, e.reason} }
