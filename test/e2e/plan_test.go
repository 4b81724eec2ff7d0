package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
)

// A letter is a message that a test publishes.
type letter struct {
	label
	to []string
	id string // the publisher's own, or what the API answered; "" if unknown
}

// envelope is the letter as Fanfare's envelope.
func (l *letter) envelope() map[string]any {
	e := map[string]any{"to": l.to, "type": "test.letter", "data": l.data()}
	if len(l.to) == 1 {
		e["to"] = l.to[0]
	}
	if l.id != "" {
		e["id"] = l.id
	}
	return e
}

func (l *letter) json() string {
	b, _ := json.Marshal(l.envelope()) // maps of strings can be encoded
	return string(b)
}

func (l *letter) data() map[string]any { return map[string]any{"p": l.P, "n": l.N} }

// addressed returns the first target that is the session's, "" if none is.
func (l *letter) addressed(s *session) string {
	for _, to := range l.to {
		if to == "*" || to == "user:"+s.user || slices.ContainsFunc(s.rooms, func(r string) bool { return to == "room:"+r }) {
			return to
		}
	}
	return ""
}

// judge compares what a session got with what was for it: each letter once,
// each publisher's in its order, and nothing else.
func judge(s *session, letters map[label]*letter) error {
	seen, last := make(map[label]bool), make(map[string]int)
	for i, m := range s.messages {
		l := letters[m.label]
		switch {
		case l == nil:
			return fmt.Errorf("message %d is unknown: %s", i, m.data)
		case l.addressed(s) == "":
			return fmt.Errorf("got %v, which is for %v", m.label, l.to)
		case seen[m.label]:
			return fmt.Errorf("got %v twice", m.label)
		case !s.plain && m.to != l.addressed(s):
			return fmt.Errorf("got %v as to %q, want %q of %v", m.label, m.to, l.addressed(s), l.to)
		case !s.plain && (m.id == "" || l.id != "" && m.id != l.id):
			return fmt.Errorf("got %v with id %q, want %q", m.label, m.id, l.id)
		case m.N <= last[m.P]:
			return fmt.Errorf("got %v after %s/%d", m.label, m.P, last[m.P])
		}
		seen[m.label], last[m.P] = true, m.N
	}
	for _, l := range letters {
		if l.addressed(s) != "" && !seen[l.label] {
			return fmt.Errorf("never got %v, which is for %v (it has %d messages)", l.label, l.to, len(seen))
		}
	}
	return nil
}

// inOneOrder says whether there is one order of all messages that every
// session's agrees with.
func inOneOrder(sessions []*session) error {
	after, before := make(map[label][]label), make(map[label]int)
	for _, s := range sessions {
		for i, m := range s.messages {
			if _, known := before[m.label]; !known {
				before[m.label] = 0
			}
			if i > 0 {
				from := s.messages[i-1].label
				after[from] = append(after[from], m.label)
				before[m.label]++
			}
		}
	}
	var free []label
	for l, n := range before {
		if n == 0 {
			free = append(free, l)
		}
	}
	placed := 0
	for ; len(free) > 0; placed++ {
		l := free[len(free)-1]
		free = free[:len(free)-1]
		for _, next := range after[l] {
			if before[next]--; before[next] == 0 {
				free = append(free, next)
			}
		}
	}
	if placed < len(before) {
		return fmt.Errorf("sessions got messages in different orders: %d of %d are in a circle", len(before)-placed, len(before))
	}
	return nil
}

// inOrderOf says whether a session's messages stand in the order of the log.
func inOrderOf(s *session, log map[label]int) error {
	last := -1
	for _, m := range s.messages {
		at, ok := log[m.label]
		if !ok || at <= last {
			return fmt.Errorf("%v is out of the log's order", m.label)
		}
		last = at
	}
	return nil
}
