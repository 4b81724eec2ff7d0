package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// Receipts say what became of messages. They are safe for concurrent use.
type Receipts interface {
	// Receipts returns what became of a message, with at most limit sessions whose ids come
	// after one. Found is false if no such message is known. Its errors are those of
	// [History].
	Receipts(ctx context.Context, system domain.System, id, after string, limit int) (
		_ control.ReceiptReport, found bool, _ error)
	// Expect prepares to wait for the receipts of a message that is about to be published.
	// Wait may be called once, and done must be. The error wraps [domain.ErrInvalid] if the
	// message is for nobody who could be waited for, or [domain.ErrLimit] if too many
	// messages are waited for; it may be one of [History].
	Expect(ctx context.Context, system domain.System, m *domain.Message) (
		wait func(ctx context.Context, want control.Fate, within time.Duration) control.ReceiptReport,
		done func(), _ error)
}

// exampleReceipts is what the documentation shows.
var exampleReceipts = control.ReceiptReport{
	ID: exampleID, System: "orders", Cursor: "AXk2…", Wanted: true, Complete: true,
	Receipts: []control.TargetReport{{
		To: "user:alice", State: control.FateAcked, Counts: map[control.Fate]int{control.FateAcked: 1},
		Sessions: []control.SessionReport{{
			Session: exampleID, User: "alice", Node: "n1", State: control.FateAcked,
			Written: exampleTime, Acked: exampleTime.Add(12 * time.Millisecond),
		}},
	}},
}

const receiptsPath = publishPath + "/{message}/receipts"

// maxReceipts is how many sessions one answer about a message has.
const maxReceipts = 100

// getReceipts answers GET /v1/systems/{system}/messages/{message}/receipts.
func getReceipts(c *call) (int, any, *Problem) {
	if p := c.read(nil); p != nil {
		return 0, nil, p
	}
	limit, p := c.limit(0)
	if p != nil {
		return 0, nil, p
	}
	after, p := c.after()
	if p != nil {
		return 0, nil, p
	}
	if c.api.cfg.Receipts == nil {
		return 0, nil, problem(http.StatusNotImplemented, "this node knows of no receipts")
	}
	r, found, err := c.api.cfg.Receipts.Receipts(c.ctx, c.system, c.message, after, min(limit, maxReceipts))
	switch {
	case err != nil:
		return 0, nil, c.api.unread(c.system, err)
	case !found:
		return 0, nil, problem(http.StatusNotFound, "no message with this id is known any more, "+
			"as far as the node has looked (resume.max_scan)")
	}
	return http.StatusOK, r, nil
}

// A receiptWait is what a publisher waits for; the zero receiptWait is nothing.
type receiptWait struct {
	want   control.Fate
	within time.Duration
}

// receiptWaitOf reads the parameter wait of a publish request.
func receiptWaitOf(r *http.Request) (w receiptWait, _ *Problem) {
	if r.URL.RawQuery == "" { // as nearly always
		return w, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return w, fault("query", "it cannot be read: use % and two hexadecimal digits for special characters")
	}
	if !values.Has("wait") {
		return w, nil
	}
	state, text, _ := strings.Cut(values.Get("wait"), ":")
	w.want = control.Fate(state)
	w.within, err = time.ParseDuration(text)
	if err != nil || w.within <= 0 || w.within > maxWait || len(values["wait"]) > 1 ||
		w.want != control.FateAcked && w.want != control.FateWritten {
		return w, fault("wait", "want acked: or written: and a time up to 30s, such as acked:2s")
	}
	return w, nil
}

// publishAndWait publishes a message, and answers with its receipts.
func (a *API) publishAndWait(
	w http.ResponseWriter, r *http.Request, system domain.System, in batch, until receiptWait,
) {
	if p := a.checkWait(in); p != nil {
		a.refuse(w, p)
		return
	}
	in.messages[0].Receipt = true
	wait, done, err := a.cfg.Receipts.Expect(r.Context(), system, in.messages[0])
	if err != nil {
		a.refuse(w, a.unexpected(system, err))
		return
	}
	defer done()
	if _, err := a.publisher.Publish(r.Context(), system, in.messages...); err != nil {
		a.refuse(w, a.failed(system, in, err))
		return
	}
	a.accepted.Add(uint64(len(in.messages)))
	report := wait(r.Context(), until.want, until.within)
	body, err := json.Marshal(report)
	if err != nil { // no report can fail
		a.refuse(w, problem(http.StatusInternalServerError, "the answer cannot be written"))
		return
	}
	a.startAnswer(w)
	writeBody(w, http.StatusOK, append(body, '\n'))
}

// checkWait returns why the receipts of a request cannot be waited for.
func (a *API) checkWait(in batch) *Problem {
	switch {
	case a.cfg.Receipts == nil:
		return problem(http.StatusNotImplemented, "this node knows of no receipts")
	case in.many:
		return fault("wait", "it goes with one message, not with a batch")
	}
	return nil
}

// unexpected returns why nobody can wait for a message, which was not published.
func (a *API) unexpected(system domain.System, err error) *Problem {
	switch {
	case errors.Is(err, domain.ErrInvalid):
		return invalid(err)
	case errors.Is(err, domain.ErrLimit):
		return problem(http.StatusTooManyRequests,
			"too many publishes wait for receipts: nothing was published, publish it again later")
	}
	return a.unread(system, err)
}
