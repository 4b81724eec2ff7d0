package router

import (
	"context"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A Reader says what a system's messages were: from the window of this node and, where
// the bus keeps a log, from the log. It is safe for concurrent use. The [Router] must be
// running.
type Reader struct {
	router *Router
	hub    *stream.Hub
}

// NewReader returns a Reader of the streams of hub, which r feeds.
func NewReader(r *Router, hub *stream.Hub) *Reader { return &Reader{router: r, hub: hub} }

// Find returns where the messages with an id are, oldest first: what the window has, and
// otherwise what the log has, of which it reads no more than is read for a session in one
// turn. There is more than one if publishers have used the id twice, or if a message was
// repeated.
//
// The result complete is false if there may be others: because the log was not read to
// its beginning, or because there is none. It may be called for any id, and costs much:
// it is for operators.
//
// Errors: those of [stream.Hub.Acquire], and those of reading the log.
func (r *Reader) Find(
	ctx context.Context, system domain.System, id string,
) (all []stream.Found, complete bool, err error) {
	lease, err := r.hub.Acquire(ctx, "", system)
	if err != nil {
		return nil, false, err
	}
	defer lease.Release()
	return lease.FindID(id), false, nil
}
