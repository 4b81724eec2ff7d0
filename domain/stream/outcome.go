package stream

import "github.com/fanfarebus/fanfare/domain"

// outcome counts the sessions that a message is for, which has just been offered. It is not a
// part of offering, which has to be fast for messages that nobody traces.
func (s *Stream) outcome(m *domain.Message) (o domain.Outcome) {
	var counted map[*Attachment]bool // nil where nobody can come twice
	if len(m.To) > 1 {
		counted = make(map[*Attachment]bool)
	}
	for _, t := range m.To {
		g := s.index.groups[t]
		if g == nil {
			continue
		}
		for i := range g.members {
			a := g.members[i].of
			if counted[a] {
				continue
			}
			if counted != nil {
				counted[a] = true
			}
			if a.live {
				o.Offered++
			} else {
				o.Behind++
			}
		}
	}
	return o
}
