package domain

import (
	"slices"
	"strings"
	"time"
)

// A Grant is what a token entitles a session to. What it does not name is
// denied. Patterns are globs in which * matches any run of characters within
// one part; parts are split by slashes.
type Grant struct {
	User    string
	Systems []string  // globs of systems: "orders", "shop-*"
	Rooms   []string  // globs of system/room: "chat/*"
	Send    []string  // globs of system/target: "chat/room:*"; everyone is "chat/all", the business system "chat/inbound"
	Expires time.Time // the session ends then; zero means never
}

// MayAttach says whether the session may receive the system's messages.
func (g *Grant) MayAttach(s System) bool { return anyMatch(g.Systems, s.name) }

// MayJoin says whether the session may join a room of a system it may attach to.
func (g *Grant) MayJoin(s System, room string) bool {
	return g.MayAttach(s) && anyMatch(g.Rooms, s.name+"/"+room)
}

// MaySend says whether the session may send to the target. Everyone needs the
// literal grant "system/all"; no glob gives it.
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

// inboundGrant is what a grant names instead of a target. No target is written so:
// each has a colon, or is "*".
const inboundGrant = "/inbound"

// MaySendInbound says whether the session may send to the business system
// itself. It needs the grant "system/inbound": the system may be a glob, as in
// Systems, but inbound is spelled out; "chat/*" is about targets.
func (g *Grant) MaySendInbound(s System) bool {
	return g.MayAttach(s) && slices.ContainsFunc(g.Send, func(pattern string) bool {
		system, inbound := strings.CutSuffix(pattern, inboundGrant)
		return inbound && glob(system, s.name)
	})
}

// Scopes are what an API key is good for: "*", or entries such as
// "publish/orders" with the same globs as a Grant.
type Scopes []string

// Allow says whether the scopes hold "action/system".
func (s Scopes) Allow(action string, system System) bool {
	for _, p := range s {
		if p == "*" || glob(p, action+"/"+system.name) {
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

// glob matches in time linear in len(s) per star, without backtracking over
// more than the last one, and never lets a star cross a slash.
func glob(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0 && s[mark] != '/':
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
