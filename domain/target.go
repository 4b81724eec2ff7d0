package domain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxTargets is the largest number of targets that one message may have.
const MaxTargets = 1000

// MaxName is the longest name of a user, session or room, in bytes.
const MaxName = 256

// A Target is whom a message is for: "user:alice", "session:…", "room:lobby",
// or "*" for everyone attached to the system. Targets are comparable; the zero
// Target matches nobody.
type Target struct{ text string }

// The kinds of targets, as [Target.Kind] returns them.
const (
	KindUser    = "user"
	KindSession = "session"
	KindRoom    = "room"
	KindAll     = "*"
)

// Everyone is the target "*".
var Everyone = Target{KindAll}

// ParseTarget reads "kind:name", which it splits at the first colon, or "*".
// The name has 1 to [MaxName] bytes of valid UTF-8 without control characters.
// The error is a [FieldError] without a path.
func ParseTarget(text string) (Target, error) {
	if text == KindAll {
		return Everyone, nil
	}
	kind, name, found := strings.Cut(text, ":")
	if !found || kind != KindUser && kind != KindSession && kind != KindRoom {
		return Target{}, invalid("", "target %q: want user:NAME, session:ID, room:NAME or *", clip(text))
	}
	if err := checkName(name); err != nil {
		return Target{}, err
	}
	return Target{text}, nil
}

// UserTarget returns the target "user:name". See [ParseTarget] for what a name
// may be.
func UserTarget(name string) (Target, error) { return ParseTarget(KindUser + ":" + name) }

// SessionTarget returns the target "session:id".
func SessionTarget(id string) (Target, error) { return ParseTarget(KindSession + ":" + id) }

// RoomTarget returns the target "room:name".
func RoomTarget(name string) (Target, error) { return ParseTarget(KindRoom + ":" + name) }

// String returns the target as it is written.
func (t Target) String() string { return t.text }

// Kind returns [KindUser], [KindSession], [KindRoom] or [KindAll], and "" for
// the zero Target.
func (t Target) Kind() string {
	kind, _, _ := strings.Cut(t.text, ":")
	return kind
}

// Name returns the part after the colon, and "" for [Everyone].
func (t Target) Name() string {
	_, name, _ := strings.Cut(t.text, ":")
	return name
}

// MarshalText returns the target's text.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.text), nil }

// UnmarshalText parses a target, as [ParseTarget] does.
func (t *Target) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTarget(string(text))
	return err
}

// CheckUser returns a [FieldError] without a path if name cannot be a user's
// name.
func CheckUser(name string) error { return checkName(name) }

func checkName(name string) error {
	switch {
	case name != "" && len(name) <= MaxName && isPrintable(name):
		return nil
	case name == "":
		return invalid("", "a name must not be empty")
	case len(name) > MaxName:
		return invalid("", "a name has at most %d bytes, this one has %d", MaxName, len(name))
	case !utf8.ValidString(name):
		return invalid("", "a name must be valid UTF-8")
	case strings.ContainsFunc(name, unicode.IsControl):
		return invalid("", "a name must not hold control characters")
	}
	return nil
}

// clip shortens input for an error message, since a caller may send any length.
func clip(s string) string {
	const limit = 64 // bytes
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
