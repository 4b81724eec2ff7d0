package natsconn

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
)

// maxTopic is the longest name of a topic, in bytes.
const maxTopic = 200

// CheckTopic returns an error unless the topic's name is a subject on which one can
// publish: tokens separated by dots, no wildcards, only printable characters. Subjects
// that begin with $ are the server's own. See [Subject-Based Messaging].
//
// [Subject-Based Messaging]: https://docs.nats.io/nats-concepts/subjects
func CheckTopic(topic string) error {
	if topic == "" || len(topic) > maxTopic || !utf8.ValidString(topic) {
		return topicError("want 1 to %d bytes of UTF-8", maxTopic)
	}
	for token := range strings.SplitSeq(topic, ".") {
		if token == "" {
			return topicError("%q: a subject has no dot at either end, and no two of them in a row", topic)
		}
	}
	bad := func(r rune) bool {
		return r == '*' || r == '>' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	}
	if topic[0] == '$' || strings.ContainsFunc(topic, bad) {
		return topicError("%q: a subject to publish on has no wildcards (* >), no spaces, "+
			"and does not begin with $", topic)
	}
	return nil
}

func topicError(format string, args ...any) error {
	return &domain.FieldError{Path: "topic", Problem: fmt.Sprintf(format, args...)}
}
