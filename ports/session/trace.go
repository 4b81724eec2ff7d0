package session

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/domain/trace"
)

// AnswerTrace answers a [trace.Question], in JSON, with a [trace.Answer]. An error says that it
// is no question.
func (reg *Registry) AnswerTrace(_ context.Context, body []byte) ([]byte, error) {
	var q trace.Question
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("session: a question about a message: %w", err)
	}
	a, err := reg.Trace(q)
	if err != nil {
		return nil, err
	}
	return json.Marshal(a)
}

// Trace says what this node made of the messages that a question names, and what became of them
// for the sessions of its user on this node. Nothing of that was recorded when they came.
// It may look at the whole window of the system.
func (reg *Registry) Trace(q trace.Question) (a trace.Answer, err error) {
	sought, err := readPlaces(q)
	if err != nil {
		return a, err
	}
	s := reg.streamOf(q.System)
	if s == nil {
		return a, nil
	}
	a.Reads, a.Since = true, s.Began().Time
	most := maxTold
	if n := len(sought); n > 0 {
		most = min(maxTold/n, trace.MaxSessions)
	}
	for i, one := range sought {
		p := s.Locate(one)
		seen := trace.Seen{
			Cursor: p.Here().String(), State: p.State, Reason: string(p.Reason),
			DuplicateOf: p.DuplicateOf.String(), Sessions: p.Sessions,
		}
		if q.User != "" {
			var more bool
			seen.Of, a.Ended, more = reg.toldTo(q.User, s, p, q.Places[i].Receipt, most)
			a.More = a.More || more
		}
		a.Places = append(a.Places, seen)
	}
	return a, nil
}

// maxTold bounds the fates in an answer, as it is one message of the control topic.
const maxTold = 100

// streamOf returns the stream of a system, nil if this node does not read it now.
func (reg *Registry) streamOf(name string) *stream.Stream {
	for _, s := range reg.hub.Streams() {
		if s.System().String() == name {
			return s
		}
	}
	return nil
}

// readPlaces reads the places of a question.
func readPlaces(q trace.Question) (all []stream.Sought, err error) {
	if len(q.Places) > trace.MaxPlaces {
		return nil, fmt.Errorf("session: at most %d places, got %d: %w",
			trace.MaxPlaces, len(q.Places), domain.ErrInvalid)
	}
	for _, p := range q.Places {
		s := stream.Sought{
			ID: q.ID, LoggedAt: p.LoggedAt, TTL: time.Duration(p.TTL) * time.Second, Poison: p.Poison,
		}
		if s.Cursor, err = readCursor(p.Cursor); err != nil {
			return nil, err
		}
		if s.DuplicateOf, err = readCursor(p.DuplicateOf); err != nil {
			return nil, err
		}
		for _, text := range p.To {
			t, err := domain.ParseTarget(text)
			if err != nil {
				return nil, err
			}
			s.To = append(s.To, t)
		}
		all = append(all, s)
	}
	return all, nil
}

func readCursor(text string) (domain.Cursor, error) {
	if text == "" {
		return domain.Cursor{}, nil
	}
	return domain.ParseCursor(text)
}

// toldTo returns what became of a message for the sessions of a user, newest first: those that
// are there, and those that have ended. Wanted says that the message wants a receipt.
func (reg *Registry) toldTo(
	user string, s *stream.Stream, p *stream.Place, wanted bool, most int,
) (all []trace.Told, since time.Time, more bool) {
	live := reg.ofUser(user)
	ended, since, more := reg.past.of(user, most)
	for _, one := range withoutEnded(live, ended) {
		if t, is := one.told(s, p, wanted); is {
			all = append(all, t)
		}
	}
	for i := range ended {
		if t, is := ended[i].told(s, p, wanted); is {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b trace.Told) int { return b.Connected.Compare(a.Connected) })
	if len(all) > most {
		all, more = all[:most], true
	}
	return all, since, more
}

// withoutEnded leaves out sessions that have ended since they were listed.
func withoutEnded(live []*Session, ended []endedSession) []*Session {
	return slices.DeleteFunc(live, func(one *Session) bool {
		return slices.ContainsFunc(ended, func(e endedSession) bool { return e.id == one.ID })
	})
}

// told says what became of a message for the session; false if it has no part in the system.
func (s *Session) told(of *stream.Stream, p *stream.Place, wanted bool) (t trace.Told, is bool) {
	t = trace.Told{Session: s.ID, Connected: madeAt(s.ID), Address: addressText(s.from)}
	var past stream.Past
	var acked domain.Location
	if a := s.Find(of.System()); a != nil {
		acked, past = a.acked(), a.stream.Past()
	}
	if past.IsZero() { // it has lost the system, or is just leaving
		s.mu.Lock()
		parts := s.past
		s.mu.Unlock()
		e := endedSession{id: s.ID, from: s.from, parts: parts, conn: s.conn}
		t, is = e.told(of, p, wanted)
		t.Ended = time.Time{}
		return t, is
	}
	fate, reason := of.Fate(p, &past, t.Connected, time.Time{})
	if t.Reason = string(reason); fate == trace.Offered && !isUnwritten(s.conn, of.System(), p) {
		fate = trace.Written
	}
	t.Fate = fateAcked(fate, wanted, acked, p)
	return t, true
}

// told says what became of a message for a session that has ended; false if it had no part in
// the system.
func (s *endedSession) told(of *stream.Stream, p *stream.Place, wanted bool) (t trace.Told, is bool) {
	for i := range s.parts {
		part := &s.parts[i]
		if part.system != of.System() || part.past.IsZero() {
			continue
		}
		t = trace.Told{
			Session: s.id, Connected: madeAt(s.id), Ended: part.at, Code: s.code,
			Address: addressText(s.from),
		}
		fate, reason := of.Fate(p, &part.past, t.Connected, part.at)
		if t.Reason = string(reason); fate == trace.Written && s.conn != nil && isUnwritten(s.conn, part.system, p) {
			fate = trace.Offered
		}
		t.Fate = fateAcked(fate, wanted, part.acked, p)
		return t, true
	}
	return t, false
}

// fateAcked returns the fate of a message that a session was offered, if the client has
// acknowledged what wants receipts up to a location.
func fateAcked(fate trace.Fate, wanted bool, acked domain.Location, p *stream.Place) trace.Fate {
	at := p.Here()
	if wanted && (fate == trace.Offered || fate == trace.Written) &&
		at.Log == acked.Log && at.Position <= acked.Position {
		return trace.Acked
	}
	return fate
}

// isUnwritten reports whether a message that a session was offered waits to be written. Of
// messages to a plain client, which do not say who they are, any may be meant.
func isUnwritten(conn Conn, system domain.System, p *stream.Place) (waits bool) {
	b := appendMessageStart(nil, system, p.ID)
	b = append(b, ',')
	conn.Unwritten(func(frame []byte) bool {
		plain := !bytes.HasPrefix(frame, []byte(messageStart))
		waits = plain || bytes.HasPrefix(frame, b)
		return !waits
	})
	return waits
}

// messageStart is what all frames of messages begin with, and [V1Encoder] makes.
const messageStart = `{"op":"message","system":"`

// appendMessageStart appends a message's frame, up to and including the id.
func appendMessageStart(b []byte, system domain.System, id string) []byte {
	b = append(b, messageStart...)
	b = append(b, system.String()...)
	b = append(b, `","id":`...)
	return jsontext.AppendString(b, id)
}

// readMessageFrame returns the system and the cursor of a message's frame. Known is false if it
// is another frame; the cursor may be zero.
func readMessageFrame(frame []byte) (system string, c domain.Cursor, known bool) {
	rest, known := bytes.CutPrefix(frame, []byte(messageStart))
	name, rest, found := bytes.Cut(rest, []byte(`","id":"`))
	if !known || !found {
		return "", c, false
	}
	for len(rest) > 0 && rest[0] != '"' {
		if rest[0] == '\\' {
			rest = rest[1:]
		}
		rest = rest[min(1, len(rest)):]
	}
	if rest, found = bytes.CutPrefix(rest, []byte(`","cursor":"`)); !found {
		return string(name), c, true
	}
	token, _, _ := bytes.Cut(rest, []byte{'"'})
	c, _ = domain.ParseCursor(string(token))
	return string(name), c, true
}
