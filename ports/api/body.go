package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// errTooMany ends the reading of an array that has more elements than a batch may have.
var errTooMany = errors.New("too many messages")

// A batch is what one request publishes.
type batch struct {
	messages []*domain.Message
	many     bool // an array or NDJSON, even of one message: the answer has ids, not id
}

// ids returns the messages' ids.
func (b batch) ids() []string {
	ids := make([]string, len(b.messages))
	for i, m := range b.messages {
		ids[i] = m.ID
	}
	return ids
}

// trace gives messages that name no trace the traceparent of a request, if it has one that
// is good, as W3C Trace Context wants it.
func (b batch) trace(header http.Header) {
	values := header["Traceparent"]
	if len(values) != 1 {
		return
	}
	traceparent := domain.ParseTraceparent(values[0])
	for _, m := range b.messages {
		if m.Traceparent == "" {
			m.Traceparent = traceparent
		}
	}
}

// read reads the body and checks all messages in it. What memory that takes is on the
// claim.
func (a *API) read(w http.ResponseWriter, r *http.Request, c *claim) (batch, *Problem) {
	lines, p := bodyForm(r)
	if p != nil {
		return batch{}, p
	}
	body, p := a.body(w, r, c)
	if p == nil {
		p = c.more(parsed * int64(len(body)))
	}
	if p != nil {
		return batch{}, p
	}
	switch {
	case lines:
		return a.parseLines(body)
	case bytes.HasPrefix(trimLeft(body), []byte("[")):
		return a.parseArray(body)
	default:
		m, err := a.parse(body)
		if err != nil {
			return batch{}, invalid(err)
		}
		return batch{messages: []*domain.Message{m}}, nil
	}
}

// parseArray parses a JSON array of messages. It stops at one more than a batch may have.
func (a *API) parseArray(body []byte) (batch, *Problem) {
	p := parsing{api: a}
	err := jsontext.Array(body, p.add)
	if err != nil && !errors.Is(err, errTooMany) {
		return batch{}, problem(http.StatusBadRequest, "malformed JSON: "+err.Error())
	}
	return p.result(err)
}

// parseLines parses NDJSON. Lines of white space are no messages.
func (a *API) parseLines(body []byte) (batch, *Problem) {
	p := parsing{api: a}
	for line := range bytes.Lines(body) {
		if len(trimLeft(line)) == 0 {
			continue
		}
		if err := p.add(line); err != nil {
			return p.result(err)
		}
	}
	return p.result(nil)
}

// trimLeft removes white space as JSON defines it, which is less than Unicode does.
func trimLeft(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }

// parsed is how many times the size of a body is taken beside the body itself: by its
// messages' data, and by their encoding on the way to the bus.
const parsed = 2

// bodyForm reports whether the body is NDJSON, a message per line, rather than JSON.
func bodyForm(r *http.Request) (lines bool, _ *Problem) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return false, problem(http.StatusUnsupportedMediaType, "compressed bodies are not accepted")
	}
	kind := r.Header.Get("Content-Type")
	if kind == "application/json" {
		return false, nil
	}
	m, ok := domain.ParseMediaType(kind)
	switch {
	case !ok:
	case !m.UTF8():
		return false, problem(http.StatusUnsupportedMediaType,
			"want the body in UTF-8, not in another charset")
	case m.Name == "application/json":
		return false, nil
	case m.Name == "application/x-ndjson", m.Name == "application/ndjson":
		return true, nil
	}
	return false, problem(http.StatusUnsupportedMediaType,
		"want Content-Type: application/json (a message, or an array of them) "+
			"or application/x-ndjson (a message per line)")
}

// A parsing collects the messages of a batch, also after a fault, so that the answer
// names every fault up to maxFaults.
type parsing struct {
	api      *API
	messages []*domain.Message
	faults   faults
}

// add parses the next message. Its error is errTooMany.
func (p *parsing) add(text []byte) error {
	i := len(p.messages)
	if i == p.api.cfg.Batch {
		return errTooMany
	}
	m, err := p.api.parse(text)
	if err != nil {
		p.faults.add(fmt.Sprintf("[%d]", i), err)
	}
	p.messages = append(p.messages, m)
	return nil
}

// result returns the batch, or what is wrong with it. The error is what add returned.
func (p *parsing) result(err error) (batch, *Problem) {
	if err != nil {
		return batch{}, problem(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("more than %d messages: publish in several requests", p.api.cfg.Batch))
	}
	if faults := p.faults.problem(); faults != nil {
		return batch{}, faults
	}
	if len(p.messages) == 0 {
		return batch{}, problem(http.StatusUnprocessableEntity, "there is no message in the body")
	}
	return batch{messages: p.messages, many: true}, nil
}

func (a *API) parse(text []byte) (*domain.Message, error) {
	return envelope.Parse(text, envelope.Options{MaxData: a.cfg.MessageBytes, Strict: true})
}
