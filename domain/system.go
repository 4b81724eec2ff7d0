package domain

import "strings"

// A System names the stream of messages of one business system. Its name
// matches ^[a-z0-9][a-z0-9_-]{0,63}$. Systems are comparable; the zero System
// is no system.
type System struct{ name string }

// ParseSystem returns the System called name, or a [FieldError] without a path.
func ParseSystem(name string) (System, error) {
	if name == "" {
		return System{}, invalid("", "a system needs a name")
	}
	if len(name) > 64 {
		return System{}, invalid("", "a system's name has at most 64 characters, this one has %d",
			len(name))
	}
	for i := range len(name) {
		c := name[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alphanumeric && (i == 0 || c != '_' && c != '-') {
			return System{}, invalid("",
				"system %q: use a-z, 0-9, and after the first character also _ and -", name)
		}
	}
	return System{name}, nil
}

// String returns the name.
func (s System) String() string { return s.name }

// MarshalText returns the name.
func (s System) MarshalText() ([]byte, error) { return []byte(s.name), nil }

// UnmarshalText parses a name, as [ParseSystem] does.
func (s *System) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSystem(string(text))
	return err
}

// Topics says what the topics of systems are called on the bus. It is a
// template such as "fanfare.{system}".
type Topics struct{ before, after string }

// ParseTopics reads a template, which must hold {system} exactly once. The
// error is a [FieldError] for "topic".
func ParseTopics(template string) (Topics, error) {
	before, after, found := strings.Cut(template, "{system}")
	if !found || strings.Contains(after, "{system}") {
		return Topics{}, invalid("topic", "template %q must hold {system} exactly once", template)
	}
	return Topics{before, after}, nil
}

// Topic returns the topic that carries the system's messages to its users.
func (t Topics) Topic(s System) string { return t.before + s.name + t.after }

// Inbound returns the topic that carries messages from the system's users to
// the system itself.
func (t Topics) Inbound(s System) string { return t.Topic(s) + InboundSuffix }

// InboundSuffix makes the name of a system's topic that of its inbound topic.
const InboundSuffix = ".inbound"

// Events returns the topic that carries events about the system's users, for the business
// system.
func (t Topics) Events(s System) string { return t.Topic(s) + EventsSuffix }

// EventsSuffix makes the name of a system's topic that of its events.
const EventsSuffix = ".events"

// Control returns the topic that nodes read and write for each other. No system can have
// its name.
func (t Topics) Control() string { return t.before + "_control" + t.after }
