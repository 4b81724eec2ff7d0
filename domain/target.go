package domain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxTargets is how many targets one message may have.
const MaxTargets = 1000

// MaxName is the longest name of a user, session or room, in bytes.
const MaxName = 256

// A Target is whom a message is for: "user:alice", "session:…", "room:lobby",
// or "*", everyone attached to the system. Targets are comparable; the zero
// Target matches nobody.
type Target struct{ text string }

// Kinds of targets.
const (
	KindUser    = "user"
	KindSession = "session"
	KindRoom    = "room"
	KindAll     = "*"
)

// Everyone is the target "*".
var Everyone = Target{KindAll}

// ParseTarget reads "kind:name", split at the first colon, or "*".
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

// UserTarget returns "user:name".
func UserTarget(name string) (Target, error) { return ParseTarget(KindUser + ":" + name) }

// SessionTarget returns "session:id".
func SessionTarget(id string) (Target, error) { return ParseTarget(KindSession + ":" + id) }

// RoomTarget returns "room:name".
func RoomTarget(name string) (Target, error) { return ParseTarget(KindRoom + ":" + name) }

// String returns the target as it is written.
func (t Target) String() string { return t.text }

// Kind returns one of the Kind constants, or "" for the zero Target.
func (t Target) Kind() string {
	kind, _, _ := strings.Cut(t.text, ":")
	return kind
}

// Name returns what stands behind the colon, "" for Everyone.
func (t Target) Name() string {
	_, name, _ := strings.Cut(t.text, ":")
	return name
}

// MarshalText lets a Target be written as its text.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.text), nil }

// UnmarshalText parses a target.
func (t *Target) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTarget(string(text))
	return err
}

// CheckUser says what is wrong with a user's name, if anything.
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

// clip shortens hostile input for an error message.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
