package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// publish answers POST /v1/systems/{system}/messages.
func (a *API) publish(w http.ResponseWriter, r *http.Request) {
	system, p := a.admit(r)
	if p != nil {
		a.refuse(w, p)
		return
	}
	key, _ := bearer(r.Header.Values("Authorization")) // it was admitted
	c := a.bodies.claim(key)
	defer c.release()
	a.working(w, r)
	in, p := a.read(w, r, c)
	if p != nil {
		a.refuse(w, p)
		return
	}
	a.name(in.messages)
	if err := a.publisher.Publish(r.Context(), system, in.messages...); err != nil {
		a.refuse(w, a.failed(system, in, err))
		return
	}
	a.accepted.Add(uint64(len(in.messages)))
	a.answering(w)
	accept(w, in)
}

// admit says whether the caller may publish to the system that the path names.
// It does not touch the body.
func (a *API) admit(r *http.Request) (domain.System, *Problem) {
	scopes, p := a.authorize(r)
	if p != nil {
		return domain.System{}, p
	}
	system, err := domain.ParseSystem(r.PathValue("system"))
	if err != nil {
		return domain.System{}, invalid(domain.At("system", err))
	}
	switch {
	case !scopes.Allow("publish", system):
		a.note(r, "scope", "the key lacks publish/"+system.String())
		return domain.System{}, problem(http.StatusForbidden, fmt.Sprintf("this API key may not publish to %s: it needs the scope publish/%s", system, system))
	case !a.node.Serves(system):
		return domain.System{}, problem(http.StatusNotFound, fmt.Sprintf("system %s is not served here", system))
	}
	return system, nil
}

// failed tells how far a publish came. The cause is logged where it is known:
// by the transport. What nobody expects is logged here.
func (a *API) failed(system domain.System, in batch, err error) *Problem {
	var partial *domain.PublishError
	p := problem(http.StatusServiceUnavailable, "the bus did not take it in time: whether it has it is unknown, and publishing again with the same id is safe")
	switch {
	case errors.Is(err, domain.ErrNotServed):
		return problem(http.StatusNotFound, fmt.Sprintf("system %s is not served here", system))
	case errors.Is(err, domain.ErrTooLarge):
		p = problem(http.StatusRequestEntityTooLarge, "the bus does not take messages of this size")
	case errors.Is(err, domain.ErrInvalid):
		p = invalid(err)
	case errors.Is(err, domain.ErrLimit):
		p.Detail = "the bus is congested, or a limit is reached: publish again later, with the same id"
	case errors.Is(err, domain.ErrClosed):
		p.Detail = "this node is shutting down: publish again, with the same id"
	case errors.Is(err, domain.ErrBusFull):
		p.Detail = "the bus is full, and refuses to take more; this node's log says what is full. Publish again later, with the same id"
	case errors.Is(err, domain.ErrBusRefused):
		p.Detail = "the bus refuses to take it; this node's log says why. Publish again later, with the same id"
	case errors.Is(err, domain.ErrBusDown) && errors.As(err, &partial) && partial.Refused:
		p.Detail = notSent(in, partial.Accepted)
	case errors.Is(err, domain.ErrBusDown):
	default:
		a.cfg.Logger.Error("publish failed", "system", system.String(), "messages", len(in.messages), "error", err)
		p = problem(http.StatusInternalServerError, "publishing failed: whether the bus has it is unknown, and publishing again with the same id is safe")
	}
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

// notSent says that it is certain that the bus has none of a publish, or nothing
// behind the messages that it has accepted.
func notSent(in batch, accepted int) string {
	what := "it was not sent"
	if in.many && accepted > 0 {
		what = "of the messages that it has not accepted none was sent"
	}
	return "the bus did not take it in time: " + what + "; publish again later, with the same id"
}

// accept answers 202 with the ids. It writes the JSON itself: this is the one
// answer that has to be cheap.
func accept(w http.ResponseWriter, in batch) {
	body := make([]byte, 0, 16+32*len(in.messages))
	if in.many {
		body = append(body, `{"ids":[`...)
		for i, m := range in.messages {
			if i > 0 {
				body = append(body, ',')
			}
			body = envelope.AppendString(body, m.ID)
		}
		body = append(body, "]}\n"...)
	} else {
		body = append(body, `{"id":`...)
		body = envelope.AppendString(body, in.messages[0].ID)
		body = append(body, "}\n"...)
	}
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(body)
}

var jsonType = []string{"application/json"}
