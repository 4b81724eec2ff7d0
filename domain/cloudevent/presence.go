package cloudevent

import (
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// SourcePrefix stands before the system's name in the source of its events.
const SourcePrefix = "/fanfare/"

// A Presence is the data of an event about who is there.
type Presence struct {
	System string
	Room   string // of an event about a room
	User   string // of an event about a user
}

// FromControl makes the event that the business service of its system is told. Its
// subject is the user, or the room if the event is about no user.
func FromControl(e control.Event) Event {
	p := Presence{System: e.System.String(), Room: e.Room, User: e.User}
	subject := e.User
	if subject == "" {
		subject = e.Room
	}
	return Event{
		ID:          e.ID,
		Source:      SourcePrefix + p.System,
		Type:        string(e.Type),
		Subject:     subject,
		Time:        time.UnixMilli(e.Time),
		ContentType: domain.JSON,
		Data:        p.append(nil),
	}
}

func (p *Presence) append(dst []byte) []byte {
	dst = append(dst, `{"system":`...)
	dst = jsontext.AppendMarshaled(dst, p.System)
	dst = appendText(dst, "room", p.Room)
	dst = appendText(dst, "user", p.User)
	return append(dst, '}')
}

// IsPresence reports whether an event is about who is there: [control.Online] and the
// like. Then [ParsePresence] reads its data.
func IsPresence(e *Event) bool {
	switch control.EventType(e.Type) {
	case control.Online, control.Offline, control.Occupied, control.Vacated:
		return true
	}
	return false
}

// ParsePresence reads the data of an event about who is there. Unknown fields are
// ignored. The error wraps [domain.ErrInvalid].
func ParsePresence(data []byte) (p Presence, err error) {
	err = jsontext.Fields(data, func(name, value []byte) (err error) {
		switch string(name) {
		case "system":
			p.System, err = text(value)
		case "room":
			p.Room, err = text(value)
		case "user":
			p.User, err = text(value)
		}
		return domain.At(string(name), err)
	})
	if err != nil && !errors.Is(err, domain.ErrInvalid) {
		err = fmt.Errorf("%w: %w", domain.ErrInvalid, err)
	}
	if err == nil && p.System == "" {
		err = &domain.FieldError{Path: "system", Problem: "an event is about a system"}
	}
	return p, err
}
