package domain

import (
	"slices"
	"strings"
	"time"
)

// A Grant is what a token entitles a session to. Whatever it does not name is
// denied. Its patterns are globs: slashes split a pattern into parts, and *
// matches any number of characters within one part.
type Grant struct {
	User    string
	Systems []string // globs of systems: "orders", "shop-*"
	Rooms   []string // globs of system/room: "chat/*"
	// Send holds globs of system/target, such as "chat/room:*". The target "*"
	// is spelled "chat/all", and the business system itself "chat/inbound".
	Send []string
	// Presence holds globs of places in which the session may see who is there: of
	// system/room, and "chat/" for the users attached to chat.
	Presence []string
	Expires  time.Time // when the session ends; zero means never

	Token  string    // the token's jti; "" if it has none
	Issued time.Time // the token's iat; zero if it has none
}

// MayAttach reports whether the session may receive the system's messages.
func (g *Grant) MayAttach(s System) bool { return anyMatch(g.Systems, s.name) }

// MayJoin reports whether the session may join the room of the system. It must
// also be allowed to attach to the system.
func (g *Grant) MayJoin(s System, room string) bool {
	return g.MayAttach(s) && anyMatch(g.Rooms, s.name+"/"+room)
}

// MayWatch reports whether the session may see who is in a room of the system or, if
// room is "", who is attached to it. It must also be allowed to attach to the system.
func (g *Grant) MayWatch(s System, room string) bool {
	return g.MayAttach(s) && anyMatch(g.Presence, s.name+"/"+room)
}

// MaySend reports whether the session may send to the target. Sending to
// [Everyone] needs the literal entry "system/all"; no glob matches it.
func (g *Grant) MaySend(s System, to Target) bool {
	if !g.MayAttach(s) {
		return false
	}
	if to != Everyone {
		return anyMatch(g.Send, s.name+"/"+to.text)
	}
	for _, p := range g.Send {
		if p == s.name+"/all" {
			return true
		}
	}
	return false
}

// inboundGrant is what an entry of Grant.Send has in place of a target. It
// cannot be mistaken for a target, since each of those has a colon or is "*".
const inboundGrant = "/inbound"

// MaySendInbound reports whether the session may send to the business system
// itself. It needs an entry "system/inbound" in Send. The system may be a glob,
// as in Systems, but "inbound" must be spelled out: "chat/*" is about targets.
func (g *Grant) MaySendInbound(s System) bool {
	return g.MayAttach(s) && slices.ContainsFunc(g.Send, func(pattern string) bool {
		system, inbound := strings.CutSuffix(pattern, inboundGrant)
		return inbound && glob(system, s.name)
	})
}

// Scopes are what an API key may do: "*" for everything, or entries such as
// "publish/orders", with the same globs as in a [Grant].
type Scopes []string

// Allow reports whether a scope matches "action/system".
func (s Scopes) Allow(action string, system System) bool {
	return s.Include(action + "/" + system.name)
}

// Include reports whether a scope matches one that is written out, such as "admin", which
// names no system.
func (s Scopes) Include(scope string) bool {
	for _, p := range s {
		if p == "*" || glob(p, scope) {
			return true
		}
	}
	return false
}

func anyMatch(patterns []string, s string) bool {
	for _, p := range patterns {
		if glob(p, s) {
			return true
		}
	}
	return false
}

// glob reports whether s matches the pattern. A star matches no slash. On a
// mismatch only the last star is tried again with one more byte, so the time is
// at most linear in len(s) for each star: a hostile pattern is not slow.
func glob(pattern, s string) bool {
	star, starEnd := -1, 0 // where the last star is in pattern, and up to where in s it matches
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, starEnd = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0 && s[starEnd] != '/':
			starEnd++
			p, i = star+1, starEnd
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// Check returns a [FieldError] if the user is no name, or if a pattern can match nothing.
func (g *Grant) Check() error {
	if err := CheckUser(g.User); err != nil {
		return At("user", err)
	}
	return g.CheckPatterns()
}

// CheckPatterns returns a [FieldError] if a pattern can match nothing: such a grant entitles
// to less than it seems to.
func (g *Grant) CheckPatterns() error {
	for _, list := range []struct {
		name, example  string
		patterns       []string
		slash, mayStop bool // the pattern has a slash; nothing has to follow it
	}{
		{"systems", "orders or shop-*", g.Systems, false, false},
		{"rooms", "chat/*", g.Rooms, true, false},
		{"send", "chat/room:*", g.Send, true, false},
		{"presence", "chat/*, or chat/ for the whole system", g.Presence, true, true},
	} {
		for _, p := range list.patterns {
			system, rest, found := strings.Cut(p, "/")
			if found != list.slash || !systemPattern(system) || found && rest == "" && !list.mayStop {
				return invalid(list.name, "%.100q matches nothing: want such as %s, "+
					"with systems of a-z, 0-9, _ and -", p, list.example)
			}
		}
	}
	return nil
}

// systemPattern reports whether a system may match the pattern.
func systemPattern(p string) bool {
	for i := range len(p) {
		c := p[i]
		first := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '*'
		if !first && (i == 0 || c != '_' && c != '-') {
			return false
		}
	}
	return p != ""
}
