package control

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// sayTalk says questions and answers, as far as there is space for them.
func (m *Machine) sayTalk(msg *message, left int) int {
	t := &m.talk
	for len(t.due) > 0 && len(msg.asks) < maxTalk {
		q := t.due[0]
		if a, wanted := m.askOf(q); wanted {
			m.out.scratch = a.append(m.out.scratch[:0])
			if len(m.out.scratch) >= left {
				break
			}
			left -= len(m.out.scratch) + 1
			msg.asks = append(msg.asks, a)
		}
		q.queued, q.again, q.said = false, true, m.now.Mono
		t.due[0] = nil
		t.due = t.due[1:]
	}
	for len(t.replies) > 0 && len(msg.replies) < maxTalk {
		r := t.replies[0]
		m.out.scratch = r.append(m.out.scratch[:0])
		if len(m.out.scratch) >= left {
			break
		}
		left -= len(m.out.scratch) + 1
		msg.replies = append(msg.replies, r)
		t.size -= r.size()
		t.replies[0] = reply{}
		t.replies = t.replies[1:]
	}
	return left
}

// askOf puts a question into the form that it has on its way, if it is still open and
// somebody has still to answer.
func (m *Machine) askOf(q *asking) (a ask, wanted bool) {
	pending := q.pending(m.nodes)
	if m.talk.open[q.ID] != q || len(pending) == 0 {
		return a, false
	}
	a = ask{id: q.ID, kind: q.Kind, body: q.Body}
	if q.again && len(pending) <= maxWant {
		a.to = pending
	}
	return a, true
}

// talked takes note that a message was published.
func (m *Machine) talked(msg *message) {
	for i := range msg.replies {
		delete(m.talk.working, msg.replies[i].id)
	}
}

// talkAgain has said again what a message has asked and answered.
func (m *Machine) talkAgain(msg *message) {
	t := &m.talk
	for i := range msg.asks {
		if q := t.open[msg.asks[i].id]; q != nil {
			m.pose(q)
		}
	}
	t.replies = append(slices.Clip(msg.replies), t.replies...)
	for i := range msg.replies {
		t.size += msg.replies[i].size()
	}
}

// repeatAsks has questions said again that nodes have not answered: what was said may have
// been lost on its way to them, and their answer on its way here.
func (m *Machine) repeatAsks() {
	every := repeatLossy
	if m.cfg.Log {
		every = repeatLog
	}
	for _, q := range m.talk.open {
		if !q.queued && m.now.Mono-q.said >= every && len(q.pending(m.nodes)) > 0 {
			m.pose(q)
		}
	}
}

// takeTalk takes what a peer asks and answers.
func (m *Machine) takeTalk(p *peer, msg *message) {
	for i := range msg.replies {
		r := &msg.replies[i]
		q := m.talk.open[r.id]
		if q == nil {
			continue
		}
		if _, again := q.answers[p.inc]; !again {
			q.answers[p.inc] = Answer{Node: p.name, Incarnation: p.inc, Body: bytes.Clone(r.body), Err: r.err}
		}
	}
	if m.now.Mono-p.clock.made(m.now.Mono, msg.at) > askedWithin {
		return
	}
	for i := range msg.asks {
		m.takeAsk(&msg.asks[i])
	}
}

// takeAsk takes a question. If too many wait for the port, the oldest is not answered by
// it, and its asker is told so.
func (m *Machine) takeAsk(a *ask) {
	t := &m.talk
	if len(a.to) > 0 && !slices.Contains(a.to, m.cfg.Incarnation) || t.working[a.id] {
		return
	}
	if len(t.working) >= maxAsked {
		m.refuse("too_many_questions")
		if len(t.asked) == 0 {
			return
		}
		m.reply(reply{id: t.asked[0].ID, err: Busy})
		t.asked = t.asked[1:]
	}
	if len(t.working) >= 2*maxAsked {
		return
	}
	if t.working == nil {
		t.working = make(map[string]bool)
	}
	t.working[a.id] = true
	t.asked = append(t.asked, Question{ID: a.id, Kind: a.kind, Body: bytes.Clone(a.body)})
}

func (a *ask) append(b []byte) []byte {
	b = jsontext.AppendMarshaled(append(b, `{"id":`...), a.id)
	b = jsontext.AppendMarshaled(append(b, `,"kind":`...), a.kind)
	b = appendIDs(b, `,"to":`, a.to)
	return append(appendBody(b, a.body), '}')
}

func (r *reply) append(b []byte) []byte {
	b = jsontext.AppendMarshaled(append(b, `{"id":`...), r.id)
	if r.err != "" {
		b = jsontext.AppendMarshaled(append(b, `,"error":`...), r.err)
	}
	return append(appendBody(b, r.body), '}')
}

func appendBody(b, body []byte) []byte {
	if len(body) == 0 {
		return b
	}
	return append(append(b, `,"body":`...), body...)
}

// appendTalk writes the sections of questions and answers.
func (m *message) appendTalk(b []byte) []byte {
	for i := range m.asks {
		b = m.asks[i].append(append(b, separator(i, `,"ask":[`)...))
	}
	b = closed(b, len(m.asks))
	for i := range m.replies {
		b = m.replies[i].append(append(b, separator(i, `,"answer":[`)...))
	}
	return closed(b, len(m.replies))
}

// parseAsks reads questions, and passes over those that are too many.
func parseAsks(text []byte) (all []ask, err error) {
	err = jsontext.Array(text, func(value []byte) error {
		if len(all) == maxTalk {
			return nil
		}
		var a ask
		err := jsontext.Fields(value, func(name, value []byte) (err error) {
			switch string(name) {
			case "id":
				a.id, err = parseID(value)
			case "kind":
				a.kind, err = parseID(value)
			case "to":
				a.to, err = parseIDs(value, maxIDs)
			case "body":
				a.body, err = parseBody(value)
			}
			return err
		})
		if err == nil && (a.id == "" || a.kind == "") {
			err = fmt.Errorf("%w: a question has an id and a kind", errMalformed)
		}
		all = append(all, a)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// parseReplies reads answers, and passes over those that are too many.
func parseReplies(text []byte) (all []reply, err error) {
	err = jsontext.Array(text, func(value []byte) error {
		if len(all) == maxTalk {
			return nil
		}
		var r reply
		err := jsontext.Fields(value, func(name, value []byte) (err error) {
			switch string(name) {
			case "id":
				r.id, err = parseID(value)
			case "body":
				r.body, err = parseBody(value)
			case "error":
				r.err, err = short(value, maxErr)
			}
			return err
		})
		if err == nil && r.id == "" {
			err = fmt.Errorf("%w: an answer has an id", errMalformed)
		}
		all = append(all, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// parseBody reads a body. It is a part of the text, and not a copy.
func parseBody(value []byte) ([]byte, error) {
	body := bytes.TrimSpace(value)
	if len(body) > MaxBody {
		return nil, fmt.Errorf("%w: a body of more than %d bytes", errMalformed, MaxBody)
	}
	return body, nil
}
