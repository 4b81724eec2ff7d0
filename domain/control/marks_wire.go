package control

import (
	"encoding/base64"
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// maxMarks is how many marks of one message are believed.
const maxMarks = 2000

func appendMarks(b []byte, marks []Mark) []byte {
	for i := range marks {
		b = append(b, separator(i, `,"marks":[`)...)
		b = marks[i].append(b)
	}
	return closed(b, len(marks))
}

// append writes a mark. What is mostly the same is written once: "o" is there only if it is
// not what "w" is, and "w" if it is not what "a" is.
func (m *Mark) append(b []byte) []byte {
	b = jsontext.AppendMarshaled(append(b, `{"s":`...), m.Session)
	b = jsontext.AppendMarshaled(append(b, `,"u":`...), m.User)
	b = jsontext.AppendMarshaled(append(b, `,"y":`...), m.System.String())
	b = append(appendHex(append(b, `,"l":"`...), uint64(m.Log)), '"')
	b = appendPosition(b, `,"f":"`, m.From, "")
	b = appendTrue(b, `,"b":true`, m.Blurred)
	b = appendPosition(b, `,"o":"`, m.Offered, m.Written)
	b = appendPosition(b, `,"w":"`, m.Written, m.Acked)
	b = appendPosition(b, `,"a":"`, m.Acked, "")
	if m.WrittenAt != 0 {
		b = appendInt(b, `,"wt":`, m.WrittenAt)
	}
	if m.AckedAt != 0 {
		b = appendInt(b, `,"at":`, m.AckedAt)
	}
	for i, s := range m.Skips {
		b = appendPosition(append(b, separator(i, `,"k":[`)...), `["`, s.From, "")
		b = appendPosition(b, `,"`, s.UpTo, "")
		b = append(jsontext.AppendMarshaled(append(b, ','), s.Reason), ']')
	}
	b = closed(b, len(m.Skips))
	if m.Ended != 0 {
		b = appendInt(b, `,"e":`, m.Ended)
		b = appendPosition(b, `,"n":"`, m.Until, "")
	}
	return append(b, '}')
}

// appendPosition appends a position after its name, unless it is like another.
func appendPosition(b []byte, name string, p, other domain.Position) []byte {
	if p == other {
		return b
	}
	return append(base64.RawURLEncoding.AppendEncode(append(b, name...), []byte(p)), '"')
}

// sayMarks says which marks have changed. While a snapshot is being said, half of the space
// is for it.
func (m *Machine) sayMarks(msg *message, left int) int {
	size := left
	if m.snaps.saying() {
		size = left / 2
	}
	for len(msg.marks) < maxMarks {
		h := m.marks.take(m.now.Mono)
		if h == nil {
			break
		}
		m.out.scratch = h.append(m.out.scratch[:0])
		n := len(m.out.scratch) + 1
		if n > size {
			m.marks.urgent = append([]*heldMark{h}, m.marks.urgent...)
			break
		}
		h.dirty = false
		size, left = size-n, left-n
		msg.marks = append(msg.marks, h.Mark)
	}
	return left
}

// lastMarks is how many messages with marks a node that ends says at most before its last.
const lastMarks = 20

// sayLastMarks says the marks of a node that ends, and in its last message that it has ended.
func (m *Machine) sayLastMarks(msg *message, left int) {
	t := m.marks
	t.round = len(t.queue)
	m.sayMarks(msg, left)
	t.parted++
	msg.bye = t.round == 0 && len(t.urgent) == 0 || t.parted > lastMarks
}

// markAgain has marks said again that may not have been heard.
func (m *Machine) markAgain(said []Mark) {
	for i := range said {
		if h := m.marks.byKey[markKey{said[i].Session, said[i].System}]; h != nil && h.mine {
			m.marks.soil(h)
		}
	}
}

// takeMarks takes the marks of a peer's sessions.
func (m *Machine) takeMarks(p *peer, msg *message) {
	for _, mark := range msg.marks {
		mark.Node, mark.Incarnation = p.name, p.inc
		if m.marks.set(m.now.Mono, mark, false) == nil {
			m.refuse("foreign_mark")
		}
	}
}

// marks reads marks. One that is malformed is left out.
func (p *parser) marks(text []byte) error {
	return jsontext.Array(text, func(value []byte) error {
		if len(p.m.marks) == maxMarks {
			return nil
		}
		mark, err := p.mark(value)
		if err != nil {
			p.m.refuse("malformed_mark")
			return nil
		}
		p.m.marks = append(p.m.marks, mark)
		return nil
	})
}

func (p *parser) mark(text []byte) (m Mark, err error) {
	err = jsontext.Fields(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "s":
			m.Session, err = parseName(value)
		case "u":
			m.User, err = parseName(value)
		case "y":
			m.System, err = p.systemOf(value)
		case "l":
			m.Log, err = parseLog(value)
		case "b":
			m.Blurred = isTrue(value)
		case "f":
			m.From, err = parsePosition(value)
		case "o":
			m.Offered, err = parsePosition(value)
		case "w":
			m.Written, err = parsePosition(value)
		case "a":
			m.Acked, err = parsePosition(value)
		case "n":
			m.Until, err = parsePosition(value)
		case "wt":
			m.WrittenAt, err = number(value, 0, maxNumber)
		case "at":
			m.AckedAt, err = number(value, 0, maxNumber)
		case "e":
			m.Ended, err = number(value, 0, maxNumber)
		case "k":
			m.Skips, err = parseSkips(value)
		}
		return err
	})
	if err == nil && (m.Session == "" || m.User == "" || m.System == (domain.System{})) {
		err = fmt.Errorf("%w: a mark has a session, a user and a system", errMalformed)
	}
	m.Written = max(m.Written, m.Acked)
	m.Offered = max(m.Offered, m.Written)
	return m, err
}

// parseName reads the name of a user or a session.
func parseName(value []byte) (string, error) {
	name, err := jsontext.String(value)
	if err == nil {
		err = domain.CheckUser(name)
	}
	return name, err
}

func parseLog(value []byte) (domain.LogID, error) {
	digits, err := jsontext.Text(value)
	if err != nil {
		return 0, err
	}
	n, err := parseHex(digits)
	return domain.LogID(n), err
}

// parsePosition reads a position, which may be one byte longer than those of cursors: see
// [After].
func parsePosition(value []byte) (domain.Position, error) {
	text, err := jsontext.Text(value)
	if err != nil {
		return "", err
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(raw) > domain.MaxPosition+1 {
		return "", fmt.Errorf("%w: not a position", errMalformed)
	}
	return domain.Position(raw), nil
}

func parseSkips(text []byte) (all []Skip, err error) {
	err = jsontext.Array(text, func(value []byte) error {
		var s Skip
		i := 0
		err := jsontext.Array(value, func(value []byte) (err error) {
			switch i {
			case 0:
				s.From, err = parsePosition(value)
			case 1:
				s.UpTo, err = parsePosition(value)
			case 2:
				s.Reason, err = short(value, maxID)
			}
			i++
			return err
		})
		if err == nil && (i < 3 || len(all) == MaxSkips) {
			err = fmt.Errorf("%w: not a skip", errMalformed)
		}
		all = append(all, s)
		return err
	})
	return all, err
}
