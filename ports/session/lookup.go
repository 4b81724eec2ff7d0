package session

import "slices"

// A lookup finds sessions by their id, and by the jti of their token. It makes each of its
// maps when it is first asked, and keeps it up to date from then on: a node on which no
// session is ever asked for has none. It is guarded by Registry.mu.
type lookup struct {
	ids    map[string]*Session
	tokens map[string][]*Session // those with a jti
}

// withID returns the session with an id, nil if there is none among all.
func (l *lookup) withID(id string, all []*Session) *Session {
	if l.ids == nil {
		l.ids = make(map[string]*Session, len(all))
		for _, s := range all {
			l.ids[s.ID] = s
		}
	}
	return l.ids[id]
}

// withToken returns the sessions with a token among all. The slice is the lookup's.
func (l *lookup) withToken(token string, all []*Session) []*Session {
	if l.tokens == nil {
		l.tokens = make(map[string][]*Session)
		for _, s := range all {
			l.addToken(s)
		}
	}
	return l.tokens[token]
}

// add notes a session that was added to the registry.
func (l *lookup) add(s *Session) {
	if l.ids != nil {
		l.ids[s.ID] = s
	}
	if l.tokens != nil {
		l.addToken(s)
	}
}

func (l *lookup) addToken(s *Session) {
	if token := s.Grant.Token; token != "" {
		l.tokens[token] = append(l.tokens[token], s)
	}
}

// remove undoes add.
func (l *lookup) remove(s *Session) {
	delete(l.ids, s.ID)
	token := s.Grant.Token
	if token == "" || l.tokens == nil {
		return
	}
	left := slices.DeleteFunc(l.tokens[token], func(other *Session) bool { return other == s })
	if len(left) == 0 {
		delete(l.tokens, token)
	} else {
		l.tokens[token] = left
	}
}
