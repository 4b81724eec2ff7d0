package domain

import "strings"

// A System is the name of one business system's stream of messages:
// [a-z0-9][a-z0-9_-]{0,63}. The zero System is no system. Systems are
// comparable.
type System struct{ name string }

// ParseSystem returns the System called name, or a FieldError.
func ParseSystem(name string) (System, error) {
	if name == "" {
		return System{}, invalid("", "a system needs a name")
	}
	if len(name) > 64 {
		return System{}, invalid("", "a system's name has at most 64 characters, this one has %d", len(name))
	}
	for i := range len(name) {
		c := name[i]
		word := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !word && (i == 0 || c != '_' && c != '-') {
			return System{}, invalid("", "system %q: use a-z, 0-9, and after the first character also _ and -", name)
		}
	}
	return System{name}, nil
}

// String returns the name.
func (s System) String() string { return s.name }

// MarshalText lets a System be written as its name.
func (s System) MarshalText() ([]byte, error) { return []byte(s.name), nil }

// UnmarshalText parses a name.
func (s *System) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSystem(string(text))
	return err
}

// Topics names the topics of systems on the bus, from a template such as
// "fanfare.{system}".
type Topics struct{ before, after string }

// ParseTopics reads a template, which must hold {system} exactly once.
func ParseTopics(template string) (Topics, error) {
	before, after, found := strings.Cut(template, "{system}")
	if !found || strings.Contains(after, "{system}") {
		return Topics{}, invalid("topic", "template %q must hold {system} exactly once", template)
	}
	return Topics{before, after}, nil
}

// Topic returns the topic that carries the system's messages to its users.
func (t Topics) Topic(s System) string { return t.before + s.name + t.after }

// Inbound returns the topic that carries what the system's users send to it.
func (t Topics) Inbound(s System) string { return t.Topic(s) + InboundSuffix }

// InboundSuffix is what an inbound topic's name has behind that of its system's
// topic.
const InboundSuffix = ".inbound"
