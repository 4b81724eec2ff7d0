package session

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

// Bounds of what is told about sessions at a time.
const (
	// describedRooms is how many rooms of a system are named.
	describedRooms = 20
	// describedBytes is how large a list of sessions may be, so that it fits into an answer
	// to another node.
	describedBytes = control.MaxBody - 1<<10
)

// AnswerSessions answers the question which sessions a user has on this node
// ([control.SessionsKind]).
func (reg *Registry) AnswerSessions(_ context.Context, question []byte) ([]byte, error) {
	var of control.SessionsOf
	if err := json.Unmarshal(question, &of); err != nil {
		return nil, fmt.Errorf("session: the question is malformed: %w", err)
	}
	answer := []byte(`{"sessions":[`)
	more := 0
	for i, s := range reg.ofUser(of.User) {
		text, err := marshal(reg.describe(s))
		switch {
		case err != nil:
			return nil, err
		case more > 0 || len(answer)+len(text) > describedBytes:
			more++
			continue
		case i > 0:
			answer = append(answer, ',')
		}
		answer = append(answer, text...)
	}
	return fmt.Appendf(answer, `],"more":%d}`, more), nil
}

// marshal makes JSON in which names need no more space than they have to.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// ofUser returns the sessions of a user, oldest first.
func (reg *Registry) ofUser(name string) []*Session {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if u := reg.users[name]; u != nil {
		return append([]*Session(nil), u.sessions...)
	}
	return nil
}

// describe says how a session is that was in the registry.
func (reg *Registry) describe(s *Session) control.SessionInfo {
	reg.mu.Lock()
	going := s.going
	reg.mu.Unlock()
	info := control.SessionInfo{
		ID: s.ID, Node: reg.cfg.Node, Port: s.conn.Port(), Address: s.address(),
		Connected: madeAt(s.ID), Going: going, Systems: []control.SystemState{},
	}
	if at := s.expires.Load(); at != 0 {
		info.Expires = time.UnixMilli(at).UTC()
	}
	info.Frames, info.Bytes = s.conn.Pending()
	for _, a := range s.Attachments() {
		info.Systems = append(info.Systems, a.describe())
	}
	return info
}

// address returns the client's address as text; "" if it is not known.
func (s *Session) address() string { return addressText(s.from) }

// describe says how far the session is in a system, and which rooms it hears.
func (a *Attachment) describe() control.SystemState {
	now := a.stream.State()
	state := control.SystemState{System: a.System().String(), State: now.Name, Gap: string(now.Gap)}
	if !now.Cursor.IsZero() {
		state.Cursor = now.Cursor.String()
	}
	a.session.mu.Lock()
	defer a.session.mu.Unlock()
	for _, room := range a.rooms {
		if len(state.Rooms) == describedRooms {
			state.More += len(a.rooms) - describedRooms
			break
		}
		state.Rooms = append(state.Rooms, room.Name())
	}
	for _, room := range a.assigned {
		switch {
		case room.ended:
		case len(state.Assigned) == describedRooms:
			state.More++
		default:
			state.Assigned = append(state.Assigned, room.target.Name())
		}
	}
	return state
}

// madeAt returns when an id of [domain.NewID] was made: so a session need not keep when it
// was opened. It is zero for any other text.
func madeAt(id string) time.Time {
	const digits, alphabet = 10, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	if len(id) < digits {
		return time.Time{}
	}
	ms := int64(0)
	for _, c := range id[:digits] {
		digit := strings.IndexRune(alphabet, c)
		if digit < 0 {
			return time.Time{}
		}
		ms = ms<<5 | int64(digit)
	}
	return time.UnixMilli(ms).UTC()
}

// logOpened logs that a session has begun. What the log says of a session is all that an
// operator needs to find it again, and nothing that it has received.
func (s *Session) logOpened() {
	if !s.registry.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	s.registry.log.Info("a session was opened", "user", s.User, "session", s.ID,
		"node", s.registry.cfg.Node, "address", s.address(), "port", s.conn.Port())
}

// logClosed logs that a session has ended, and why.
func (s *Session) logClosed(code int) {
	if !s.registry.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	s.registry.log.Info("a session was closed", "user", s.User, "session", s.ID,
		"node", s.registry.cfg.Node, "address", s.address(), "port", s.conn.Port(),
		"code", code, "reason", closeReason(code),
		"after", s.registry.now().Sub(madeAt(s.ID)).Round(time.Millisecond))
}
