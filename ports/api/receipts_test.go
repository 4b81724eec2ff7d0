package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/api"
)

// told is a Receipts that answers what its fields say, and remembers what it was asked.
type told struct {
	found  bool
	err    error
	asked  []string
	open   int // calls of Expect without done
	waited bool
}

func (r *told) Receipts(_ context.Context, s domain.System, id, after string, limit int) (control.ReceiptReport, bool, error) {
	r.asked = append(r.asked, fmt.Sprint(s, " ", id, " ", after, " ", limit))
	return control.ReceiptReport{ID: id, System: s.String(), Receipts: []control.TargetReport{}}, r.found, r.err
}

func (r *told) Expect(_ context.Context, s domain.System, m *domain.Message) (
	func(context.Context, control.Fate, time.Duration) control.ReceiptReport, func(), error,
) {
	if r.err != nil {
		return nil, nil, r.err
	}
	r.open++
	return func(_ context.Context, want control.Fate, within time.Duration) control.ReceiptReport {
		r.waited = true
		r.asked = append(r.asked, fmt.Sprint(s, " ", m.Receipt, " ", want, " ", within))
		return control.ReceiptReport{ID: m.ID, System: s.String(), Receipts: []control.TargetReport{}}
	}, func() { r.open-- }, nil
}

func TestReceiptsNeedTheRightToReadOrToPublish(t *testing.T) {
	for key, want := range map[string]int{"read/chat": 200, "publish/chat": 200, "*": 200, "read/*": 200, "read/orders": 403, "admin": 403} {
		r := &told{found: true}
		_, h := controlled(t, &plane{}, api.Config{Receipts: r})
		req := httptest.NewRequest("GET", "/v1/systems/chat/messages/a%2Fb/receipts?limit=7&after=01X", nil)
		req.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != want || want == 200 && fmt.Sprint(r.asked) != "[chat a/b 01X 7]" {
			t.Errorf("%s: %d %s, asked %v", key, w.Code, w.Body, r.asked)
		}
	}
}

func TestReceiptsAreThereWithoutAControlPlane(t *testing.T) {
	a, err := api.New(&bus{}, scoped{}, &node{}, api.Config{Receipts: &told{found: true}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Controlling(mux)
	if w := ask(mux, "GET", "/v1/systems/chat/messages/m/receipts", ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	_, none := controlled(t, nil, api.Config{Receipts: &told{}})
	if w := ask(none, "GET", "/v1/systems/chat/messages/m/receipts", ""); w.Code != 404 {
		t.Errorf("of a message that is not there: %d %s", w.Code, w.Body)
	}
	_, down := controlled(t, nil, api.Config{Receipts: &told{err: domain.ErrBusDown}})
	if w := ask(down, "GET", "/v1/systems/chat/messages/m/receipts", ""); w.Code != 503 {
		t.Errorf("of a bus that is down: %d %s", w.Code, w.Body)
	}
}

func TestPublishWaitsForReceipts(t *testing.T) {
	r := &told{}
	_, h := controlled(t, &plane{}, api.Config{Receipts: r})
	w := ask(h, "POST", "/v1/systems/chat/messages?wait=acked:2s", `{"to":"user:alice","data":1,"id":"m"}`)
	var got control.ReceiptReport
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.ID != "m" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if fmt.Sprint(r.asked) != "[chat true acked 2s]" || r.open != 0 {
		t.Errorf("asked %v, %d left open", r.asked, r.open)
	}
	for query, body := range map[string]string{
		"wait=2s": `{}`, "wait=acked:0s": `{}`, "wait=acked:31s": `{}`, "wait=gap:2s": `{}`, "wait=acked:2s&wait=acked:2s": `{}`,
		"wait=acked:2s": `[{"to":"user:alice","data":1}]`,
	} {
		if body == "{}" {
			body = `{"to":"user:alice","data":1}`
		}
		r.waited = false
		w := ask(h, "POST", "/v1/systems/chat/messages?"+query, body)
		if p := explained(t, w); w.Code != 422 || r.waited || !strings.Contains(fmt.Sprint(p.Errors), "wait") {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	r.err = domain.ErrLimit
	if w := ask(h, "POST", "/v1/systems/chat/messages?wait=acked:2s", `{"to":"user:alice","data":1}`); w.Code != 429 {
		t.Errorf("with too many that wait: %d %s", w.Code, w.Body)
	}
}
