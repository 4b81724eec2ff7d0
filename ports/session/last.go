package session

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A client that comes without a cursor may ask for the last messages: it then begins at the
// cursor after which these come, and is given them as any client that resumes there.

// A History finds that cursor. It is safe for concurrent use and bounded in time.
type History interface {
	// Newest returns the cursor after which the last messages of a stream come that are for
	// the targets. The reason is "" if all of them do. The cursor may be zero: then nobody
	// can say.
	Newest(
		ctx context.Context, s *stream.Stream, asker stream.Asker, targets []domain.Target, last stream.Last,
	) (at domain.Cursor, reason domain.GapReason)
}

// noHistory gives nobody anything.
type noHistory struct{}

func (noHistory) Newest(
	context.Context, *stream.Stream, stream.Asker, []domain.Target, stream.Last,
) (none domain.Cursor, reason domain.GapReason) {
	return none, domain.TooFar
}

// MaxLast is the most messages that a client may ask for when it comes.
const MaxLast = 1000

// maxLastAge is the longest time for which it may ask for messages.
const maxLastAge = 366 * 24 * time.Hour

var errLast = &domain.FieldError{Problem: fmt.Sprintf(
	"want a number of messages from 1 to %d, or a time such as 5m", MaxLast)}

// ParseLast reads how many messages, or from which time on, a client wants to have had. The
// error is a [domain.FieldError] without a path.
func ParseLast(text string) (last stream.Last, err error) {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > MaxLast {
			return last, errLast
		}
		return stream.Last{Count: n}, nil
	}
	if last.Age, err = time.ParseDuration(text); err != nil || last.Age <= 0 || last.Age > maxLastAge {
		return stream.Last{}, errLast
	}
	return last, nil
}

// parseLasts reads the parameter last: system:number or system:time.
func (c *connectRequest) parseLasts(query url.Values) error {
	lasts, err := list("last", query["last"])
	switch {
	case err != nil:
		return err
	case c.Plain && len(lasts) > 0:
		return Rejected(http.StatusUnprocessableEntity, "last: only with the subprotocol fanfare.v1.json")
	}
	for i, text := range lasts {
		if err := c.parseLast(text); err != nil {
			return domain.At(fmt.Sprintf("last[%d]", i), err)
		}
	}
	return nil
}

func (c *connectRequest) parseLast(text string) error {
	name, what, found := strings.Cut(text, ":")
	if !found {
		return &domain.FieldError{Problem: "want system:20 or system:5m"}
	}
	a, err := c.named(name)
	if err != nil {
		return err
	}
	last, err := ParseLast(what)
	if err == nil && !a.last.IsZero() && a.last != last {
		return &domain.FieldError{Problem: "system " + name + " is there twice, with different values"}
	}
	a.last = last
	return err
}

// beginAtLast lets the session begin at the cursor after which the last messages come, if
// the client wants them and has no cursor.
func (a *Attachment) beginAtLast(ctx context.Context, asker stream.Asker, asked *systemRequest) {
	if !asked.wantsLast() {
		return
	}
	targets := a.appendTargets([]domain.Target{domain.Everyone})
	a.since, asked.missing = a.session.registry.cfg.History.Newest(
		ctx, a.lease.Stream, asker, targets, asked.last)
}

// wantsLast reports whether the client wants to have had messages, and has no cursor.
func (asked *systemRequest) wantsLast() bool { return !asked.last.IsZero() && asked.since.IsZero() }

// JoinLast is Join for a client that wants to have had the last messages of the room: they
// are offered, and then the frame that done makes of why some of them are missing; "" if
// none is. It returns false if that cannot be done now.
func (a *Attachment) JoinLast(
	ctx context.Context, room domain.Target, last stream.Last, done func(missing domain.GapReason) []byte,
) bool {
	asker := askerOf(a.session.User, a.session.from)
	at, missing := a.session.registry.cfg.History.Newest(
		ctx, a.lease.Stream, asker, []domain.Target{room}, last)
	if at.IsZero() {
		return false
	}
	return a.JoinSince(room, at, done(missing))
}

// AppendLast appends the member "last", which says whether all of the last messages come
// that a client has asked for.
func AppendLast(b []byte, missing domain.GapReason) []byte {
	if missing == "" {
		return append(b, `,"last":{"complete":true}`...)
	}
	b = append(b, `,"last":{"complete":false,"reason":`...)
	return append(jsontext.AppendString(b, string(missing)), '}')
}
