package jetstream

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A severity says what follows from a property of a stream.
type severity int

const (
	remark     severity = iota // worth knowing
	warning                    // the stream works, with a fault that may surprise
	unwritable                 // publishing is refused
	unusable                   // publishing and reading are refused
)

// A property is one that a stream may have and that a topic's stream should not have.
type property struct {
	severity severity
	has      func(c *jetstream.StreamConfig, topic string) bool
	fault    string // what the property causes, and what to do about it
}

// shortAge is how long a log should keep messages at least: the default of dedupe.age.
const shortAge = 2 * time.Minute

// properties are checked when a stream is opened and while it is followed. They are
// sorted by severity, the worst first.
var properties = []property{
	{unusable, func(c *jetstream.StreamConfig, _ string) bool { return c.Retention != jetstream.LimitsPolicy },
		"it drops what its consumers have acked: want one with --retention limits"},
	{unusable, func(c *jetstream.StreamConfig, topic string) bool {
		return c.MaxMsgsPerSubject > 0 && !holdsOnly(c, topic)
	},
		"it holds several subjects and drops messages from its middle (max-msgs-per-subject): " +
			"what is lost so cannot be told; want one without that limit"},
	{unusable, movesSubject, "it stores the topic's messages under another subject (subject transform), " +
		"where nobody looks for them"},
	{unwritable, func(c *jetstream.StreamConfig, _ string) bool { return c.NoAck },
		"no_ack is on: the server confirms nothing, so that every publish would fail though it was delivered; " +
			"turn it off with `nats stream edit --ack`"},
	{unwritable, func(c *jetstream.StreamConfig, _ string) bool { return c.Mirror != nil },
		"it is a mirror: nobody can publish to it"},
	{unwritable, func(c *jetstream.StreamConfig, _ string) bool { return c.Sealed },
		"it is sealed: nothing can be added to it"},
	{unwritable, func(c *jetstream.StreamConfig, _ string) bool { return c.AllowMsgCounter },
		"it counts (allow_msg_counter): it takes numbers, and no messages"},

	{warning, func(c *jetstream.StreamConfig, _ string) bool {
		return c.Discard == jetstream.DiscardNew &&
			(c.MaxMsgs > 0 || c.MaxBytes > 0 || c.MaxMsgsPerSubject > 0)
	}, "it refuses new messages when it is full (discard new): publishing then fails with 503 until old ones go"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool { return c.MaxAge > 0 && c.MaxAge < shortAge },
		"it keeps messages for less than 2m (max_age): a node that has just started does not know older ones, " +
			"and delivers their repetitions; and sessions that were away for longer are told a gap"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool {
		return c.MaxAge <= 0 && c.MaxMsgs <= 0 && c.MaxBytes <= 0
	}, "it has no limit: it grows until the disk is full"},
	{warning, func(c *jetstream.StreamConfig, topic string) bool { return c.AllowRollup && !holdsOnly(c, topic) },
		"it holds several subjects and lets publishers remove messages from its middle (allow-rollup): " +
			"what goes so is no gap to anybody"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool { return c.AllowMsgTTL },
		"messages may have a time to live of their own (allow_msg_ttl): what goes so is no gap to anybody"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool { return c.SubjectDeleteMarkerTTL > 0 },
		"it puts markers among the messages (subject_delete_marker_ttl), which are counted as poison"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool {
		return c.PersistMode == jetstream.AsyncPersistMode
	}, "it confirms messages before they are on the disk (persist_mode async): a crash takes what was confirmed"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool { return c.MaxConsumers > 0 },
		"it bounds its consumers (max_consumers): each node needs one for the topic"},

	{remark, func(c *jetstream.StreamConfig, topic string) bool { return !holdsOnly(c, topic) },
		"it holds more than the topic: cursors are good only as long as its first message is older"},
	{remark, func(c *jetstream.StreamConfig, _ string) bool { return c.Storage == jetstream.MemoryStorage },
		"it is in memory: a server that starts anew has lost it, and sessions are told a gap"},
	{remark, func(c *jetstream.StreamConfig, _ string) bool { return c.MaxMsgSize > 0 },
		"it bounds messages (max_msg_size): larger ones are refused with 413"},
}

// holdsOnly reports whether a stream holds the topic and nothing else.
func holdsOnly(c *jetstream.StreamConfig, topic string) bool {
	return len(c.Subjects) == 1 && c.Subjects[0] == topic && len(c.Sources) == 0
}

// movesSubject reports whether a stream stores a topic under another subject. A
// transform changes each subject that its source matches, unless source and destination
// are the same, or the destination is the subject itself.
func movesSubject(c *jetstream.StreamConfig, topic string) bool {
	t := c.SubjectTransform
	return t != nil && t.Source != t.Destination && t.Destination != topic &&
		(t.Source == "" || matches(t.Source, topic))
}

// matches reports whether a pattern, which may contain * and >, matches a subject.
func matches(pattern, subject string) bool {
	for {
		p, restP, moreP := strings.Cut(pattern, ".")
		s, restS, moreS := strings.Cut(subject, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != s || moreP != moreS:
			return false
		case !moreP:
			return true
		}
		pattern, subject = restP, restS
	}
}

// propertiesOf returns the properties that a stream has, the worst first.
func propertiesOf(c *jetstream.StreamConfig, topic string) (found []property) {
	for _, p := range properties {
		if p.has(c, topic) {
			found = append(found, p)
		}
	}
	return found
}

// checkFit returns an error if a stream has a property of at least the given severity:
// unusable for reading a topic, unwritable for publishing to it.
func checkFit(c *jetstream.StreamConfig, topic string, least severity) error {
	var why []string
	for _, p := range propertiesOf(c, topic) {
		if p.severity >= least {
			why = append(why, p.fault)
		}
	}
	if len(why) == 0 {
		return nil
	}
	return fmt.Errorf("%w: stream %s: %s", domain.ErrUnsupported, c.Name, strings.Join(why, "; "))
}

// inspect reports the properties of a topic's stream to the inspector. It returns true
// if they differ from what was reported last.
func inspect(
	inspector *transport.Inspector, c *jetstream.StreamConfig, topic string,
) (changed bool) {
	var faults []transport.Fault
	for _, p := range propertiesOf(c, topic) {
		faults = append(faults, transport.Fault{Level: p.severity.level(), Text: "its stream: " + p.fault})
	}
	return inspector.Inspect(topic, c.Name, faults)
}

func (s severity) level() slog.Level {
	switch s {
	case remark:
		return slog.LevelInfo
	case warning:
		return slog.LevelWarn
	}
	return slog.LevelError
}
