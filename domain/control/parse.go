package control

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// errMalformed means that a message does not have the form that it must have.
var errMalformed = errors.New("malformed control message")

// A parser reads a message. It keeps nothing of the text.
type parser struct {
	m    message
	seen struct{ v, node, inc, seq, at bool }
	// The last system and room that a row named, since the next one is often the same.
	system domain.System
	room   string
}

// parse reads a message. An error means that nothing of it counts; parts of it that are
// malformed are left out, and counted in message.refused. What it does not know it
// passes over.
func parse(text []byte) (*message, error) {
	var p parser
	if err := jsontext.Fields(text, p.field); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if p.seen != (struct{ v, node, inc, seq, at bool }{true, true, true, true, true}) {
		return nil, fmt.Errorf("%w: it lacks v, node, inc, seq or at", errMalformed)
	}
	return &p.m, nil
}

func (p *parser) field(name, value []byte) (err error) {
	m := &p.m
	switch string(name) {
	case "v":
		p.seen.v = true
		_, err = number(value, 1, maxNumber)
	case "node":
		p.seen.node = true
		if m.node, err = label(value); err == nil {
			err = domain.CheckUser(m.node) // nodes are named as users are
		}
	case "inc":
		p.seen.inc = true
		m.inc, err = parseID(value)
	case "seq":
		p.seen.seq = true
		m.seq, err = unsigned(value, 1)
	case "at":
		p.seen.at = true
		m.at, err = number(value, 0, maxNumber)
	case "steps":
		var n int64
		n, err = number(value, 0, 1<<32-1)
		m.steps = uint32(n)
	case "bye":
		m.bye = isTrue(value)
	default:
		p.section(string(name), value)
	}
	return err
}

// section reads a section. Of a malformed one that has no elements nothing counts.
func (p *parser) section(name string, value []byte) {
	m := &p.m
	var err error
	switch name {
	case "beat":
		m.beat, err = parseBeat(value)
	case "ack":
		m.acks, err = parseIDs(value, maxIDs)
	case "sync":
		m.sync, err = parseIDs(value, maxIDs)
	case "answering":
		m.answering, err = parseIDs(value, maxIDs)
	case "answered":
		m.answered, err = parseIDs(value, maxIDs)
	case "buckets":
		m.buckets, err = parseBuckets(value)
	case "facts":
		err = p.items(value)
	case "rows":
		m.rows, err = p.rows(value)
	case "snap":
		m.snap, err = p.snap(value)
	case "ask":
		m.asks, err = parseAsks(value)
	case "answer":
		m.replies, err = parseReplies(value)
	}
	if err != nil {
		m.refuse("malformed_" + name)
	}
}

func (m *message) refuse(reason string) {
	if m.refused == nil {
		m.refused = make(map[string]int)
	}
	m.refused[reason]++
}

func (p *parser) items(text []byte) error {
	return jsontext.Array(text, func(value []byte) error {
		f, err := parseItem(value)
		if err != nil {
			p.m.refuse("malformed_fact")
		} else if f.key.Kind.known() {
			p.m.facts = append(p.m.facts, f)
		}
		return nil
	})
}

func (p *parser) rows(text []byte) (rows []row, err error) {
	err = jsontext.Array(text, func(value []byte) error {
		r, err := p.row(value)
		if err != nil {
			p.m.refuse("malformed_row")
			return nil
		}
		if rows == nil {
			rows = make([]row, 0, 1+len(text)/max(len(value)+1, 24))
		}
		rows = append(rows, r)
		return nil
	})
	return rows, err
}

// row reads [system, room, user, n].
func (p *parser) row(text []byte) (r row, err error) {
	i := 0
	err = jsontext.Array(text, func(value []byte) (err error) {
		switch i {
		case 0:
			r.place.System, err = p.systemOf(value)
		case 1:
			r.place.Room, err = p.roomOf(value)
		case 2:
			if r.user, err = jsontext.String(value); err == nil {
				err = domain.CheckUser(r.user)
			}
		case 3:
			var n int64
			n, err = number(value, 0, 1<<31-1)
			r.n = int(n)
		}
		i++
		return err
	})
	if err == nil && i < 4 {
		err = errMalformed
	}
	return r, err
}

func (p *parser) systemOf(value []byte) (domain.System, error) {
	text, err := jsontext.Text(value)
	if err != nil || string(text) == p.system.String() && len(text) > 0 {
		return p.system, err
	}
	p.system, err = domain.ParseSystem(string(text))
	return p.system, err
}

func (p *parser) roomOf(value []byte) (string, error) {
	text, err := jsontext.Text(value)
	switch {
	case err != nil || len(text) == 0:
		return "", err
	case string(text) == p.room:
		return p.room, nil
	}
	room := string(text)
	if err := domain.CheckUser(room); err != nil { // the same rule as for rooms
		return "", err
	}
	p.room = room
	return room, nil
}

func (p *parser) snap(text []byte) (*snap, error) {
	s := &snap{}
	err := jsontext.Fields(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "id":
			s.id, err = unsigned(value, 1)
		case "part":
			var n int64
			n, err = number(value, 1, 1<<31-1)
			s.part = int(n)
		case "last":
			s.last = isTrue(value)
		case "rows":
			s.rows, err = p.rows(value)
		}
		return err
	})
	if err == nil && (s.id == 0 || s.part == 0) {
		err = errMalformed
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// maxNumber is the largest number that all readers of JSON can tell from the next.
const maxNumber = 1<<53 - 1

func number(value []byte, least, most int64) (int64, error) {
	n, err := jsontext.Int(value)
	if err == nil && (n < least || n > most) {
		err = fmt.Errorf("%w: %d is not from %d to %d", errMalformed, n, least, most)
	}
	return n, err
}

func unsigned(value []byte, least int64) (uint64, error) {
	n, err := number(value, least, maxNumber)
	return uint64(max(n, 0)), err
}

func isTrue(value []byte) bool { return string(bytes.TrimSpace(value)) == "true" }

// label reads the name or version of a node.
func label(value []byte) (string, error) { return short(value, maxLabel) }

// parseID reads an id, such as an incarnation. It is said to others again, so it has only
// characters that need as much space in JSON as here.
func parseID(value []byte) (string, error) {
	s, err := short(value, maxID)
	if err == nil && (s == "" || textSize(s) > len(s)) {
		err = fmt.Errorf("%w: an id has some of the characters that ids are made of", errMalformed)
	}
	return s, err
}

func short(value []byte, most int) (string, error) {
	text, err := jsontext.String(value)
	if err == nil && len(text) > most {
		err = fmt.Errorf("%w: a text of more than %d bytes", errMalformed, most)
	}
	return text, err
}

// parseIDs reads at most most ids, and passes over those behind them.
func parseIDs(value []byte, most int) (all []string, err error) {
	err = jsontext.Array(value, func(value []byte) error {
		if len(all) == most {
			return nil
		}
		s, err := parseID(value)
		all = append(all, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
