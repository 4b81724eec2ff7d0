package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// A batch is what one request publishes.
type batch struct {
	messages []*domain.Message
	many     bool // an array or NDJSON, so the answer speaks of ids
}

func (b batch) ids() []string {
	ids := make([]string, len(b.messages))
	for i, m := range b.messages {
		ids[i] = m.ID
	}
	return ids
}

// read reads and checks all of the body. Its memory is on the claim.
func (a *API) read(w http.ResponseWriter, r *http.Request, c *claim) (batch, *Problem) {
	lines, p := form(r)
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
		return a.parseAll(bytes.Lines(body))
	case len(bytes.TrimLeft(body, " \t\r\n")) > 0 && bytes.TrimLeft(body, " \t\r\n")[0] == '[':
		var elements []json.RawMessage
		if err := json.Unmarshal(body, &elements); err != nil {
			return batch{}, problem(http.StatusBadRequest, "malformed JSON: "+err.Error())
		}
		return a.parseAll(each(elements))
	default:
		m, err := a.parse(body)
		if err != nil {
			var f faults
			f.add("", err)
			return batch{}, f.problem()
		}
		return batch{messages: []*domain.Message{m}}, nil
	}
}

// parsed is how many times a body's size its messages take beside it: a copy of
// each element, the message, and its encoding on the way to the bus.
const parsed = 2

// form says whether the body is NDJSON rather than JSON.
func form(r *http.Request) (lines bool, _ *Problem) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return false, problem(http.StatusUnsupportedMediaType, "compressed bodies are not accepted")
	}
	kind := r.Header.Get("Content-Type")
	if kind == "application/json" {
		return false, nil
	}
	kind, _, err := mime.ParseMediaType(kind)
	switch {
	case err != nil:
	case kind == "application/json":
		return false, nil
	case kind == "application/x-ndjson", kind == "application/ndjson":
		return true, nil
	}
	return false, problem(http.StatusUnsupportedMediaType,
		"want Content-Type: application/json (a message, or an array of them) or application/x-ndjson (a message per line)")
}

// parseAll parses every message before it answers, and names every fault up to
// a limit.
func (a *API) parseAll(texts func(func([]byte) bool)) (batch, *Problem) {
	in := batch{many: true}
	var f faults
	i := 0
	for text := range texts {
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if i == a.cfg.Batch {
			return batch{}, problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d messages: publish in several requests", a.cfg.Batch))
		}
		m, err := a.parse(text)
		if err != nil {
			f.add(fmt.Sprintf("[%d]", i), err)
		}
		in.messages = append(in.messages, m)
		i++
	}
	if p := f.problem(); p != nil {
		return batch{}, p
	}
	if i == 0 {
		return batch{}, problem(http.StatusUnprocessableEntity, "there is no message in the body")
	}
	return in, nil
}

func (a *API) parse(text []byte) (*domain.Message, error) {
	return envelope.Parse(text, envelope.Options{MaxData: a.cfg.MessageBytes, Strict: true})
}

func each(elements []json.RawMessage) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for _, e := range elements {
			if !yield(e) {
				return
			}
		}
	}
}
