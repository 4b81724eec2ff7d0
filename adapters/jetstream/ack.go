package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/domain"
)

// errNotStored is the error of a message that no stream was there to take.
var errNotStored = domain.Refused(errors.New("no stream has taken it"))

// A foreignAnswer is an answer to a published message that does not come from the
// topic's stream, but from another subscriber of the subject or from another stream (in
// another JetStream domain, or created since). The answer of the topic's stream may
// still come.
type foreignAnswer struct{ text string }

func (a *foreignAnswer) Error() string { return a.text }

// maxShown is how much of a foreign answer an error shows, in bytes.
const maxShown = 100

func notFromStream(m *nats.Msg) error {
	return &foreignAnswer{fmt.Sprintf("somebody who is no stream answers "+
		"what is published on the subject: %.*q", maxShown, m.Data)}
}

// readAck reads the answer to a message that was published on a subject of the named
// stream. It returns the message's sequence, and no error, only if that stream confirms
// that it has stored the message.
func readAck(m *nats.Msg, stream string) (seq uint64, err error) {
	if seq, ok := plainAck(m.Data, stream); ok {
		return seq, nil
	}
	switch status := m.Header.Get("Status"); {
	case status == "503" && len(m.Data) == 0:
		return 0, errNotStored
	case status != "":
		return 0, notFromStream(m)
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
	err = json.Unmarshal(m.Data, &answer)
	switch e := answer.Error; {
	case err != nil, e != nil && e.ErrCode == 0, e == nil && (answer.Stream == "" || answer.Seq == 0):
		return 0, notFromStream(m)
	case answer.Stream != stream && answer.Stream != "":
		return 0, &foreignAnswer{fmt.Sprintf("another stream than the topic's, %s, answers: %.*q",
			stream, maxShown, m.Data)}
	case e != nil:
		return 0, refusalError(e.ErrCode, e.Description)
	}
	return answer.Seq, nil
}

// plainAck reports whether an answer is, byte for byte, what servers usually write when
// a stream has stored a message, and returns the message's sequence. All other answers are
// parsed as JSON, which is slower.
func plainAck(answer []byte, stream string) (seq uint64, ok bool) {
	for _, part := range [...]string{`{"stream":"`, stream, `","seq":`} {
		if len(answer) < len(part) || string(answer[:len(part)]) != part {
			return 0, false
		}
		answer = answer[len(part):]
	}
	n := len(answer) - 1
	if stream == "" || n < 1 || answer[n] != '}' || answer[0] == '0' {
		return 0, false
	}
	for _, c := range answer[:n] {
		if c < '0' || c > '9' || seq > (math.MaxUint64-uint64(c-'0'))/10 {
			return 0, false
		}
		seq = 10*seq + uint64(c-'0')
	}
	return seq, true
}

// Codes that the server gives to errors ([ADR-7]) and that nats.go does not name.
//
// [ADR-7]: https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-7.md
const (
	storeFailed    = 10077 // the stream's storage refuses; only the text says why
	headerTooLarge = 10097
)

// refusalError is the error of a message that a stream has refused.
func refusalError(code int, description string) error {
	answer := fmt.Errorf("the stream answered: %s (%d)", description, code)
	switch {
	case code == int(jetstream.JSErrCodeStreamMessageExceedsMaximum), code == headerTooLarge,
		code == storeFailed && strings.Contains(description, "too large"):
		return fmt.Errorf("%w: %w", domain.ErrTooLarge, answer)
	case code == storeFailed && !strings.Contains(description, "maximum"):
		return fmt.Errorf("%w: %w", domain.ErrBusDown, answer) // the stream's other replicas may have it
	case code == storeFailed:
		return domain.Refused(fmt.Errorf("%w: the stream is full, and refuses new messages (discard new) "+
			"until old ones go: %w", domain.ErrBusFull, answer))
	case outOfRoom(code):
		return domain.Refused(fmt.Errorf("%w: JetStream has no room left for the account or on the server: %w",
			domain.ErrBusFull, answer))
	}
	return domain.Refused(answer)
}

// outOfRoom reports whether an error code of JetStream means that the account or the
// server has reached a limit: resources exceeded for the account, insufficient
// resources, insufficient memory, insufficient storage.
func outOfRoom(code int) bool {
	switch code {
	case 10002, 10023, 10028, 10047:
		return true
	}
	return false
}
