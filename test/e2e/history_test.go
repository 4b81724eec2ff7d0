package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A historyPage is the answer to GET …/messages.
type historyPage struct {
	System   string
	Messages []notice
	Next     string
	Complete bool
	Reason   string
}

// numbers returns the data of the messages that are numbers.
func numbers(all []notice) (list []string) {
	for _, n := range all {
		if n.Op == "message" {
			list = append(list, string(n.Data))
		}
	}
	return list
}

// as returns how to reach the nodes with another key, or with a token.
func (p *controlled) as(key string) *controlled {
	other := *p
	other.key = key
	return &other
}

// history reads all pages, from the newest to the oldest, or forward from after. It returns
// what the last page says of completeness.
func (p *controlled) history(t *testing.T, addr string, limit int, after string, to ...string) (all []notice, reason string) {
	t.Helper()
	query := url.Values{"limit": {fmt.Sprint(limit)}, "to": to}
	step := "before"
	if after != "" {
		step = "after"
		query.Set(step, after)
	}
	for range 1000 {
		var page historyPage
		must(t, p.read(addr, "/v1/systems/orders/messages?"+query.Encode(), &page))
		if page.System != "orders" || page.Complete != (page.Reason == "") || len(page.Messages) > limit {
			t.Fatalf("a page of %d: %+v", limit, page)
		}
		for _, n := range page.Messages {
			if n.Op != "message" || n.Cursor == "" {
				t.Fatalf("on a page: %+v", n)
			}
		}
		if step == "after" {
			all = append(all, page.Messages...)
		} else {
			all = append(page.Messages, all...)
		}
		if page.Next == "" {
			return all, page.Reason
		}
		query.Set(step, page.Next)
	}
	t.Fatal("pages without end")
	return nil, ""
}

// publishNumbers publishes messages whose data are the numbers from first to last: for bob,
// the hall, alice, and everyone, in turn.
func (p *controlled) publishNumbers(t *testing.T, first, last int) {
	t.Helper()
	var batch []string
	for n := first; n <= last; n++ {
		batch = append(batch, fmt.Sprintf(`{"to":%q,"id":"m%d","data":%d}`,
			[]string{"*", "user:bob", "room:hall", "user:alice"}[n%4], n, n))
	}
	r, err := p.ask(p.front, http.MethodPost, "/v1/systems/orders/messages", "["+strings.Join(batch, ",")+"]")
	if err != nil || r.status != http.StatusAccepted {
		t.Fatalf("%d %s %v", r.status, r.body, err)
	}
}

func numbersFrom(first, last int, kinds ...int) (all []string) {
	for n := first; n <= last; n++ {
		if len(kinds) == 0 || slices.Contains(kinds, n%4) {
			all = append(all, fmt.Sprint(n))
		}
	}
	return all
}

// What was published before somebody came can be read by whom it was for, from the window
// and from the log; and a session that asks for its last messages has them before the live
// ones, each once.
func TestHistory(t *testing.T) {
	needs(t, "redis-server")
	for _, bus := range controlBuses {
		t.Run(bus.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 2, bus.url(t), settings{"WINDOW_MESSAGES": "20"})
			p := c.controlled()
			h := &historyTest{p, bus.log, 1}
			var begun struct{ System, Cursor, Time string }
			must(t, p.read(p.nodes[0].addr, "/v1/systems/orders/cursor", &begun))
			if begun.System != "orders" || begun.Cursor == "" || begun.Time == "" {
				t.Errorf("the cursor: %+v", begun)
			}
			p.publishNumbers(t, 1, 300)
			h.settle(t, 300)
			if !bus.log {
				h.first = 281 // the window is all there is
			}
			h.pages(t, begun.Cursor)
			h.clients(t)
			h.lasts(t)
			h.refusals(t)
		})
	}
}

// A historyTest is a history of which the messages from first to 300 are still known.
type historyTest struct {
	*controlled
	log   bool
	first int
}

// settle waits until all nodes have come to the last number.
func (h *historyTest) settle(t *testing.T, last int) {
	t.Helper()
	for _, n := range h.nodes {
		eventually(t, 30*time.Second, n.name+" has read all", func() error {
			var page historyPage
			if err := h.read(n.addr, "/v1/systems/orders/messages?limit=1", &page); err != nil {
				return err
			}
			if got := numbers(page.Messages); !slices.Equal(got, []string{fmt.Sprint(last)}) {
				return fmt.Errorf("the last one is %v", got)
			}
			return nil
		})
	}
}

// wants compares numbers with those that are known. If there was more, which is not known
// any more, the reason says so.
func (h *historyTest) wants(t *testing.T, what string, got []notice, reason string, kinds ...int) {
	t.Helper()
	if diff := cmp.Diff(numbersFrom(h.first, 300, kinds...), numbers(got), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	if want := map[bool]string{false: "lossy"}[h.log]; reason != want {
		t.Errorf("%s: the reason is %q, want %q", what, reason, want)
	}
}

// pages reads as a service does.
func (h *historyTest) pages(t *testing.T, begun string) {
	for _, n := range h.nodes {
		all, reason := h.history(t, n.addr, 70, "")
		h.wants(t, "everything", all, reason)
		hers, reason := h.history(t, n.addr, 1000, "", "user:alice", "room:hall")
		h.wants(t, "of alice and the hall", hers, reason, 3, 2)
		if i := slices.IndexFunc(all, func(m notice) bool { return string(m.Data) == "290" }); i >= 0 {
			later, reason := h.history(t, n.addr, 3, all[i].Cursor)
			if diff := cmp.Diff(numbersFrom(291, 300), numbers(later)); diff != "" || reason != "" {
				t.Errorf("after 290: %q (-want +got):\n%s", reason, diff)
			}
		} else {
			t.Error("290 is not there")
		}
	}
	if h.log { // a cursor of one node, on another
		all, reason := h.history(t, h.nodes[1].addr, 100, begun)
		h.wants(t, "from the beginning", all, reason)
	}
}

// clients reads as clients with a token do.
func (h *historyTest) clients(t *testing.T) {
	alice := h.as(h.pass("alice", nil))
	got, reason := alice.history(t, h.nodes[0].addr, 30, "")
	h.wants(t, "alice's own", got, reason, 3, 0)
	got, reason = alice.history(t, h.nodes[1].addr, 30, "", "room:hall")
	h.wants(t, "alice in the hall", got, reason, 2)
}

// lasts lets devices begin with their last messages.
func (h *historyTest) lasts(t *testing.T) {
	type helloOf struct {
		Systems map[string]struct {
			Cursor  string
			Resumed bool
			Last    *struct {
				Complete bool
				Reason   string
			}
		}
	}
	hello := func(d *guest) (first helloOf) {
		d.mu.Lock()
		defer d.mu.Unlock()
		must(t, json.Unmarshal(d.raw[0], &first))
		return first
	}
	var published []int
	for n := 1; n <= 300; n++ {
		published = append(published, n)
	}
	for i, c := range []struct {
		kind     kind
		last     string
		most     int
		hall     bool
		complete bool
	}{
		{overV1, "4", 4, false, true},
		{overSSE, "4", 4, false, true},
		{overV1, "100", 100, true, h.log},
		{overSSE, "1h", 1000, false, h.log}, // the log was never trimmed
	} {
		query, kinds := "&last=orders:"+c.last, []int{3, 0}
		if c.hall {
			query, kinds = query+"&rooms=orders/hall", append(kinds, 2)
		}
		known := published
		if !h.log {
			known = published[len(published)-20:] // the window is all there is
		}
		var want []string
		for _, n := range known {
			if slices.Contains(kinds, n%4) {
				want = append(want, fmt.Sprint(n))
			}
		}
		want = want[max(0, len(want)-c.most):]
		d := h.mustConnect(t, c.kind, h.nodes[i%2].addr, h.pass("alice", nil), query)
		live := 303 + 4*i // for alice
		h.publishNumbers(t, live, live)
		published, want = append(published, live), append(want, fmt.Sprint(live))
		d.wants(t, "the live one", func(n notice) bool { return n.Op == "message" && string(n.Data) == fmt.Sprint(live) })
		if diff := cmp.Diff(want, numbers(d.heardAll())); diff != "" {
			t.Errorf("%s over %s (-want +got):\n%s", query, c.kind, diff)
		}
		first := hello(d).Systems["orders"]
		if first.Last == nil || first.Resumed || first.Cursor == "" || first.Last.Complete != c.complete ||
			first.Last.Complete != (first.Last.Reason == "") {
			t.Errorf("%s over %s: hello says %+v, last %+v", query, c.kind, first, first.Last)
		}
		d.shut()
		h.settle(t, live) // on the other node, too
	}
	d := h.mustConnect(t, overV1, h.nodes[0].addr, h.pass("carol", nil), "")
	must(t, d.send(`{"op":"join","ref":1,"system":"orders","room":"hall","last":3}`))
	d.wants(t, "ok", isOp("ok"))
	if diff := cmp.Diff(numbersFrom(290, 298, 2), numbers(d.heardAll())); diff != "" {
		t.Errorf("joined with last (-want +got):\n%s", diff)
	}
	d.shut()
}

// refusals tries to read what is for others.
func (h *historyTest) refusals(t *testing.T) {
	addr := h.nodes[0].addr
	alice := h.pass("alice", nil)
	narrow := h.pass("alice", jwt.MapClaims{"rooms": []string{}})
	for _, c := range []struct {
		key, path string
		status    int
	}{
		{alice, "messages?to=user:bob", 403},
		{alice, "messages?to=user:alice&to=user:bob", 403},
		{alice, "messages?to=session:x", 403},
		{narrow, "messages?to=room:hall", 403},
		{narrow, "messages?to=*", 200},
		{narrow, "cursor", 200},
		{h.pass("alice", jwt.MapClaims{"systems": []string{"chat"}}), "messages", 403},
		{h.pass("alice", jwt.MapClaims{"systems": []string{"chat"}}), "cursor", 403},
		{h.pass("alice", jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}), "messages", 401},
		{"nonsense", "messages", 401},
		{"", "messages", 401},
		{"", "cursor", 401},
		{h.key, "messages?before=x", 422},
		{h.key, "messages?limit=0", 422},
		{h.key, "messages?limit=1001", 422},
		{h.key, "messages?since=x", 422},
		{alice, "messages?user=bob", 422},
	} {
		r, err := h.as(c.key).ask(addr, http.MethodGet, "/v1/systems/orders/"+c.path, "")
		if err != nil || r.status != c.status {
			t.Errorf("%s: %d %s %v; want %d", c.path, r.status, r.body, err, c.status)
		}
	}
	h.everywhere(t, h.front, http.MethodPut, "/v1/users/alice/block", `{"ttl":3600}`)
	if r, err := h.as(alice).ask(addr, http.MethodGet, "/v1/systems/orders/messages", ""); err != nil || r.status != 403 {
		t.Errorf("blocked: %d %s %v", r.status, r.body, err)
	}
}
