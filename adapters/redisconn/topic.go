package redisconn

import (
	"fmt"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// maxTopic is the longest name of a topic, in bytes.
const maxTopic = 1024

// CheckTopic returns an error unless Redis can hold a key or channel of this name
// and a person can type the name into redis-cli.
func CheckTopic(topic string) error {
	if topic == "" || len(topic) > maxTopic || strings.ContainsAny(topic, "\x00\r\n") {
		problem := fmt.Sprintf("want 1 to %d bytes without line breaks", maxTopic)
		return &domain.FieldError{Path: "topic", Problem: problem}
	}
	return nil
}
