package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// Claims say where in a token's payload the grant is. Each is the name of a claim, such
// as "scope" or "https://example.com/rooms", or a path of names with dots between them,
// such as "resource_access.push.systems". Names may have dots, too: of several that a
// path can begin with, the longest counts. Empty fields mean the usual names.
//
// A claim that is named here, and is not the usual one, may be an array of strings, or a
// string of words with spaces between them.
type Claims struct {
	User           string // a string or a whole number; usually "sub"
	Systems, Rooms string // usually "systems" and "rooms"
	Send, Presence string // usually "send" and "presence"
	// Prefix, if it is set, is what words have to begin with to count, in all claims
	// that are not the usual ones. It is cut off. So a scope such as
	// "openid push:orders" can grant systems.
	Prefix string
}

// Defaults are what a token is granted for each claim that it does not have. A claim
// that is there, but empty, grants nothing.
type Defaults struct {
	Systems, Rooms, Send, Presence []string
}

// The claims that a claimReader looks for, as indexes.
const (
	claimUser = iota
	claimSystems
	claimRooms
	claimSend
	claimPresence
	mappedClaims // how many there are
)

// usual are the names of the claims unless the settings say otherwise.
var usual = [mappedClaims]string{"sub", "systems", "rooms", "send", "presence"}

// A claimReader reads the claims of payloads whose grant is not where it usually is, or
// that have defaults.
type claimReader struct {
	paths    [mappedClaims]string
	fallback [mappedClaims][]string
	prefix   string
}

// maxPath is the longest path of a claim, in bytes.
const maxPath = 256

// newClaimReader returns nil if the claims have their usual names and no defaults.
func newClaimReader(c Claims, d Defaults) (*claimReader, error) {
	r := &claimReader{
		paths:    [mappedClaims]string{c.User, c.Systems, c.Rooms, c.Send, c.Presence},
		fallback: [mappedClaims][]string{nil, d.Systems, d.Rooms, d.Send, d.Presence},
		prefix:   c.Prefix,
	}
	for i, path := range r.paths {
		if path == "" {
			r.paths[i] = usual[i]
		}
		if len(path) > maxPath {
			return nil, fmt.Errorf("the path of the claim for %s has %d bytes, at most %d are taken",
				usual[i], len(path), maxPath)
		}
	}
	grant := domain.Grant{Systems: d.Systems, Rooms: d.Rooms, Send: d.Send, Presence: d.Presence}
	if err := grant.CheckPatterns(); err != nil {
		return nil, fmt.Errorf("default.%w", err)
	}
	for i, globs := range r.fallback {
		r.fallback[i] = slices.Clone(globs) // grants share them
	}
	plain := r.paths == usual && !slices.ContainsFunc(r.fallback[:], func(g []string) bool { return len(g) > 0 })
	switch {
	case r.paths == usual && r.prefix != "":
		return nil, errors.New("a prefix is for words of claims that are named: name at least one")
	case plain:
		return nil, nil
	}
	return r, nil
}

// parseClaims reads a token's payload.
func (j *JWT) parseClaims(payload []byte) (*claims, error) {
	if j.reader != nil {
		return j.reader.parse(payload)
	}
	return parseClaims(payload)
}

// parse is parseClaims for claims that are somewhere else.
func (r *claimReader) parse(payload []byte) (*claims, error) {
	m := &mapped{claims: &claims{}}
	err := jsontext.Fields(payload, func(name, value []byte) error { return r.take(m, name, value) })
	for i := range r.paths {
		if err == nil {
			err = r.find(m, i)
		}
	}
	return m.claims, refusal(err)
}

// mapped is what a claimReader has read of one payload.
type mapped struct {
	*claims
	// name and value are, for each claim that is looked for, the longest name at the top
	// that its path begins with, and what it has. They share memory with the payload.
	name, value [mappedClaims][]byte
}

// take takes one field at the top of the payload.
func (r *claimReader) take(m *mapped, name, value []byte) error {
	for i, path := range r.paths {
		if begins(path, name) && (m.name[i] == nil || len(name) > len(m.name[i])) {
			m.name[i], m.value[i] = name, value
		}
	}
	switch string(name) {
	case "sub", "systems", "rooms", "send", "presence":
		return nil // find reads them, if they are the ones
	}
	return m.claims.take(name, value)
}

// begins reports whether a path begins with a name, or is it.
func begins(path string, name []byte) bool {
	n := len(name)
	return n > 0 && strings.HasPrefix(path, string(name)) && (len(path) == n || path[n] == '.')
}

// find reads one of the claims that are looked for, or gives it its default.
func (r *claimReader) find(m *mapped, claim int) error {
	path := r.paths[claim]
	value, err := descend(path[len(m.name[claim]):], m.value[claim])
	switch {
	case err != nil:
		return &claimError{path, err.Error()}
	case value == nil:
		return m.claims.set(claim, r.fallback[claim])
	case claim == claimUser:
		return m.claims.setUser(path, value)
	case path == usual[claim]:
		return m.claims.take([]byte(path), value)
	}
	all, err := words(value, r.prefix)
	if err != nil {
		return &claimError{path, "want an array of strings, or a string of words"}
	}
	return m.claims.set(claim, all)
}

// descend returns what is at the rest of a path in a value, nil if nothing is. The rest
// is empty, or begins with a dot. A null on the way counts as a null at its end.
func descend(rest string, value []byte) ([]byte, error) {
	if rest == "" || value == nil || string(value) == "null" {
		return value, nil
	}
	rest = rest[1:]
	var name, found []byte
	err := jsontext.Fields(value, func(n, v []byte) error {
		if begins(rest, n) && len(n) > len(name) {
			name, found = n, v
		}
		return nil
	})
	if err != nil {
		return nil, errors.New("want objects, with each name once, on the way to it")
	}
	return descend(rest[len(name):], found)
}

// words reads an array of strings, or the words of one string. With a prefix only those
// count that begin with it, without it. null is an empty list, as in globs.
func words(value []byte, prefix string) ([]string, error) {
	all, err := globs(value)
	if err == nil && len(value) > 0 && value[0] == '"' {
		all = strings.Fields(all[0])
	}
	if prefix == "" || err != nil {
		return all, err
	}
	var own []string
	for _, word := range all {
		if word, ok := strings.CutPrefix(word, prefix); ok && word != "" {
			own = append(own, word)
		}
	}
	return own, nil
}

// set sets what a claim grants.
func (c *claims) set(claim int, all []string) error {
	switch claim {
	case claimSystems:
		c.systems = all
	case claimRooms:
		c.rooms = all
	case claimSend:
		c.send = all
	case claimPresence:
		c.presence = all
	}
	return nil
}

// setUser sets the user. Some issuers number their users.
func (c *claims) setUser(path string, value []byte) (err error) {
	c.hasSubject = true
	if isWhole(value) && path != usual[claimUser] {
		c.subject = string(value)
		return nil
	}
	if c.subject, err = jsontext.String(value); err != nil {
		return &claimError{path, "want a string"}
	}
	return nil
}

// isWhole reports whether a value is a whole number, written in digits alone.
func isWhole(value []byte) bool {
	return !slices.ContainsFunc(value, func(c byte) bool { return c < '0' || c > '9' })
}
