package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/domain"
)

// errNoStream: nobody was there to take a message.
var errNotStored = domain.Refused(errors.New("no stream has taken it"))

// A foreignAnswer is an answer that does not come from the topic's stream: somebody
// else hears the subject, and answers what he hears, or another stream (that of
// another JetStream domain, or one made since) does. The stream's own may still
// come.
type foreignAnswer struct{ text string }

func (a *foreignAnswer) Error() string { return a.text }

// maxShown is how much of a strange answer an error shows, in bytes.
const maxShown = 100

func notFromStream(m *nats.Msg) error {
	return &foreignAnswer{fmt.Sprintf("somebody who is no stream answers what is published on the subject: %.*q", maxShown, m.Data)}
}

// readAck reads what is answered to a message that was published on a subject of
// the named stream. Only that stream's word that it has the message is no error.
func readAck(m *nats.Msg, stream string) error {
	if plainAck(m.Data, stream) {
		return nil
	}
	switch status := m.Header.Get("Status"); {
	case status == "503" && len(m.Data) == 0:
		return errNotStored
	case status != "":
		return notFromStream(m)
	}
	var answer struct {
		Error *struct {
			Code        int    `json:"code"`
			ErrCode     int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
		Stream string `json:"stream"`
		Seq    uint64 `json:"seq"`
	}
	err := json.Unmarshal(m.Data, &answer)
	switch e := answer.Error; {
	case err != nil, e != nil && e.ErrCode == 0, e == nil && (answer.Stream == "" || answer.Seq == 0):
		return notFromStream(m)
	case answer.Stream != stream && answer.Stream != "":
		return &foreignAnswer{fmt.Sprintf("another stream than the topic's, %s, answers: %.*q", stream, maxShown, m.Data)}
	case e != nil:
		return refusalError(e.ErrCode, e.Description)
	}
	return nil
}

// plainAck says whether an answer is, byte for byte, what servers write when a
// stream has taken a message. Any other way of writing that is read slowly.
func plainAck(answer []byte, stream string) bool {
	for _, part := range [...]string{`{"stream":"`, stream, `","seq":`} {
		if len(answer) < len(part) || string(answer[:len(part)]) != part {
			return false
		}
		answer = answer[len(part):]
	}
	n := len(answer) - 1
	if stream == "" || n < 1 || answer[n] != '}' || answer[0] == '0' {
		return false
	}
	for _, c := range answer[:n] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

const (
	// storeFailed is the server's code for what its store refuses, the reason of
	// which stands in the text only.
	storeFailed    = 10077
	headerTooLarge = 10097
)

// refusalError is the error of what a stream refuses.
func refusalError(code int, description string) error {
	answer := fmt.Errorf("the stream answered: %s (%d)", description, code)
	switch {
	case code == int(jetstream.JSErrCodeStreamMessageExceedsMaximum), code == headerTooLarge,
		code == storeFailed && strings.Contains(description, "too large"):
		return fmt.Errorf("%w: %w", domain.ErrTooLarge, answer)
	case code == storeFailed && !strings.Contains(description, "maximum"):
		return fmt.Errorf("%w: %w", domain.ErrBusDown, answer) // the stream's other replicas may have it
	case code == storeFailed:
		return domain.Refused(fmt.Errorf("%w: the stream is full, and refuses new messages (discard new) until old ones go: %w", domain.ErrBusFull, answer))
	case outOfRoom(code):
		return domain.Refused(fmt.Errorf("%w: JetStream has no room left for the account or on the server: %w", domain.ErrBusFull, answer))
	}
	return domain.Refused(answer)
}

// outOfRoom says whether an error code of JetStream is about a limit of the
// account or the server: resources exceeded for the account, insufficient
// resources, insufficient memory, insufficient storage, no resources here.
func outOfRoom(code int) bool {
	switch code {
	case 10002, 10023, 10028, 10047:
		return true
	}
	return false
}
