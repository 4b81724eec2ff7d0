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
	warning                    // it works, with a fault that somebody may not expect
	unwritable                 // publishing is refused
	unusable                   // reading is refused, too
)

// A property is what a stream may be and a topic's stream had better not be.
type property struct {
	severity severity
	has      func(c *jetstream.StreamConfig, topic string) bool
	fault    string // what it causes, and what to do
}

// shortAge is what a log should keep at least: the default of dedupe.age.
const shortAge = 2 * time.Minute

// properties are looked at whenever a stream is opened, and while it is followed.
var properties = []property{
	{unusable, func(c *jetstream.StreamConfig, _ string) bool { return c.Retention != jetstream.LimitsPolicy },
		"it drops what its consumers have acked: want one with --retention limits"},
	{unusable, func(c *jetstream.StreamConfig, topic string) bool {
		return c.MaxMsgsPerSubject > 0 && !holdsOnly(c, topic)
	},
		"it holds several subjects and drops messages from its middle (max-msgs-per-subject): " +
			"what is lost so cannot be told; want one without that limit"},
	{unusable, movesSubject, "it stores the topic's messages under another subject (subject transform), where nobody looks for them"},
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
		return c.Discard == jetstream.DiscardNew && (c.MaxMsgs > 0 || c.MaxBytes > 0 || c.MaxMsgsPerSubject > 0)
	}, "it refuses new messages when it is full (discard new): publishing then fails with 503 until old ones go"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool { return c.MaxAge > 0 && c.MaxAge < shortAge },
		"it keeps messages for less than 2m (max_age): a node that has just started does not know older ones, and delivers " +
			"their repetitions; and sessions that were away for longer are told a gap"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool {
		return c.MaxAge <= 0 && c.MaxMsgs <= 0 && c.MaxBytes <= 0
	},
		"it has no limit: it grows until the disk is full"},
	{warning, func(c *jetstream.StreamConfig, topic string) bool { return c.AllowRollup && !holdsOnly(c, topic) },
		"it holds several subjects and lets publishers remove messages from its middle (allow-rollup): what goes so is no gap to anybody"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool { return c.AllowMsgTTL },
		"messages may have a time to live of their own (allow_msg_ttl): what goes so is no gap to anybody"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool { return c.SubjectDeleteMarkerTTL > 0 },
		"it puts markers among the messages (subject_delete_marker_ttl), which are counted as poison"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool { return c.PersistMode == jetstream.AsyncPersistMode },
		"it confirms messages before they are on the disk (persist_mode async): a crash takes what was confirmed"},
	{warning, func(c *jetstream.StreamConfig, _ string) bool { return c.MaxConsumers > 0 },
		"it bounds its consumers (max_consumers): each node needs one for the topic"},

	{remark, func(c *jetstream.StreamConfig, topic string) bool { return !holdsOnly(c, topic) },
		"it holds more than the topic: cursors are good only as long as its first message is older"},
	{remark, func(c *jetstream.StreamConfig, _ string) bool { return c.Storage == jetstream.MemoryStorage },
		"it is in memory: a server that starts anew has lost it, and sessions are told a gap"},
	{remark, func(c *jetstream.StreamConfig, _ string) bool { return c.MaxMsgSize > 0 },
		"it bounds messages (max_msg_size): larger ones are refused with 413"},
}

// holdsOnly says whether the topic is all that a stream holds.
func holdsOnly(c *jetstream.StreamConfig, topic string) bool {
	return len(c.Subjects) == 1 && c.Subjects[0] == topic && len(c.Sources) == 0
}

// movesSubject says whether a stream stores a topic under another subject. What
// a pattern makes of a subject that it matches is never that subject, unless
// source and destination are the same.
func movesSubject(c *jetstream.StreamConfig, topic string) bool {
	t := c.SubjectTransform
	return t != nil && t.Source != t.Destination && t.Destination != topic && (t.Source == "" || matches(t.Source, topic))
}

// matches says whether a subject is one that a pattern with * and > means.
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

// propertiesOf returns what is to be said about a stream, the worst first.
func propertiesOf(c *jetstream.StreamConfig, topic string) (found []property) {
	for _, p := range properties {
		if p.has(c, topic) {
			found = append(found, p)
		}
	}
	return found
}

// checkFit returns why a stream cannot be a topic's, nil if it can, for who wants
// to do something that a property of the given weight forbids.
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

// inspect tells what is to be said about a topic's stream, and says whether that
// differs from what was told last.
func inspect(i *transport.Inspector, c *jetstream.StreamConfig, topic string) (changed bool) {
	var faults []transport.Fault
	for _, p := range propertiesOf(c, topic) {
		faults = append(faults, transport.Fault{Level: p.severity.level(), Text: "its stream: " + p.fault})
	}
	return i.Inspect(topic, c.Name, faults)
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
