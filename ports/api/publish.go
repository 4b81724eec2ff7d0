package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// publish answers POST /v1/systems/{system}/messages.
func (a *API) publish(w http.ResponseWriter, r *http.Request) {
	system, key, p := a.authorize(r)
	if p != nil {
		a.refuse(w, p)
		return
	}
	if p := a.meter(key, 0); p != nil { // before the body costs anything
		a.refuse(w, p)
		return
	}
	c := a.bodies.claim(key)
	defer c.release()
	a.suspendAnswer(w, r)
	in, p := a.read(w, r, c)
	if p != nil {
		a.refuse(w, p)
		return
	}
	if p := a.meter(key, len(in.messages)); p != nil {
		a.refuse(w, p)
		return
	}
	a.ids.Name(in.messages...)
	in.trace(r.Header)
	at, err := a.publisher.Publish(r.Context(), system, in.messages...)
	if err != nil {
		a.refuse(w, a.failed(system, in, err))
		return
	}
	a.accepted.Add(uint64(len(in.messages)))
	a.startAnswer(w)
	accept(w, in, at)
}

// authorize returns the system that the path names and the caller's API key, if the key
// may publish there. It does not touch the body.
func (a *API) authorize(r *http.Request) (system domain.System, key string, _ *Problem) {
	key, scopes, p := a.scopes(r, "publishing")
	if p != nil {
		return system, key, p
	}
	system, err := domain.ParseSystem(r.PathValue("system"))
	if err != nil {
		return system, key, invalid(domain.At("system", err))
	}
	switch {
	case !scopes.Allow("publish", system):
		a.recordBadKey(r, "scope", "the key lacks publish/"+system.String())
		return system, key, problem(http.StatusForbidden, fmt.Sprintf(
			"this API key may not publish to %s: it needs the scope publish/%s", system, system))
	case !a.node.Serves(system):
		return system, key, notServed(system)
	}
	return system, key, nil
}

// meter counts n messages that are published with a key, or returns the answer why they
// cannot be published now.
func (a *API) meter(key string, n int) *Problem {
	m, ok := a.keys.(Meter)
	if !ok {
		return nil
	}
	wait := m.Take(key, n)
	if wait <= 0 {
		return nil
	}
	p := problem(http.StatusTooManyRequests,
		"this API key publishes more than it may: nothing was published, publish it again later")
	p.retry = wait
	return p
}

func notServed(system domain.System) *Problem {
	return problem(http.StatusNotFound, fmt.Sprintf("system %s is not served here", system))
}

// failed returns the answer to a publish that failed: why, how many messages the bus
// took, and the ids.
func (a *API) failed(system domain.System, in batch, err error) *Problem {
	if errors.Is(err, domain.ErrNotServed) {
		return notServed(system)
	}
	p := a.explain(system, in, err)
	var partial *domain.PublishError
	accepted := 0
	if errors.As(err, &partial) {
		accepted = min(max(partial.Accepted, 0), len(in.messages))
		a.accepted.Add(uint64(accepted))
	}
	if in.many {
		p.IDs, p.Accepted = in.ids(), &accepted
	} else {
		p.ID = in.messages[0].ID
	}
	return p
}

// explain returns why a publish failed. The transport has logged the cause of errors that
// it knows; all others are logged here.
func (a *API) explain(system domain.System, in batch, err error) *Problem {
	p := problem(http.StatusServiceUnavailable, "the bus did not take it in time: "+
		"whether it has it is unknown, and publishing again with the same id is safe")
	switch {
	case errors.Is(err, domain.ErrTooLarge):
		return problem(http.StatusRequestEntityTooLarge,
			"the bus does not take messages of this size")
	case errors.Is(err, domain.ErrInvalid):
		return invalid(err)
	case errors.Is(err, domain.ErrLimit):
		p.because("busy").Detail = "the bus is congested, or a limit is reached: " +
			"publish again later, with the same id"
	case errors.Is(err, domain.ErrClosed):
		p.because("closing").Detail = "this node is shutting down: publish again, with the same id"
	case errors.Is(err, domain.ErrBusFull):
		p.because("bus_full").Detail = "the bus is full, and refuses to take more; this node's log says what is " +
			"full. Publish again later, with the same id"
	case errors.Is(err, domain.ErrBusRefused):
		p.because("bus_refused").Detail = "the bus refuses to take it; this node's log says why. " +
			"Publish again later, with the same id"
	case errors.Is(err, domain.ErrBusDown), errors.Is(err, context.Canceled): // the client may have gone
		var partial *domain.PublishError
		if errors.As(err, &partial) && partial.Refused {
			p.because("bus_down").Detail = notSent(in, partial.Accepted)
		}
	default:
		a.cfg.Logger.Error("publish failed",
			"system", system.String(), "messages", len(in.messages), "error", err)
		return problem(http.StatusInternalServerError, "publishing failed: "+
			"whether the bus has it is unknown, and publishing again with the same id is safe")
	}
	return p
}

// notSent returns the detail where it is certain that the bus has no message of a
// publish, or none after those that it has accepted.
func notSent(in batch, accepted int) string {
	what := "it was not sent"
	if in.many && accepted > 0 {
		what = "of the messages that it has not accepted none was sent"
	}
	return "the bus did not take it in time: " + what +
		"; publish again later, with the same id"
}

// accept answers 202 with the ids, and the cursor if there is one. It writes the JSON
// itself, because this answer is the one that has to be fast.
func accept(w http.ResponseWriter, in batch, at domain.Cursor) {
	size := 16 + 32*len(in.messages)
	if !at.IsZero() {
		size += 80 // most cursors have 50 to 60 bytes
	}
	body := make([]byte, 0, size)
	if in.many {
		body = append(body, `{"ids":[`...)
		for i, m := range in.messages {
			if i > 0 {
				body = append(body, ',')
			}
			body = jsontext.AppendMarshaled(body, m.ID)
		}
		body = append(body, ']')
	} else {
		body = append(body, `{"id":`...)
		body = jsontext.AppendMarshaled(body, in.messages[0].ID)
	}
	if !at.IsZero() {
		body = append(at.Append(append(body, `,"cursor":"`...)), '"')
	}
	body = append(body, "}\n"...)
	h := w.Header()
	h["Content-Type"] = jsonType
	// Without it, net/http would send the ids of a large batch in chunks.
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(body)
}

var jsonType = []string{"application/json"}
