package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// streaming starts a node that answers with these events, and remembers what it was asked.
func streaming(t *testing.T, asked *atomic.Value, events ...string) *fakeNode {
	t.Helper()
	n := &fakeNode{Server: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.RequestURI + " " + r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "text/event-stream")
		for _, event := range events {
			fmt.Fprintf(w, ": alive\n\ndata: %s\n\n", event)
		}
	}))}
	t.Cleanup(n.Close)
	return n
}

func TestASystemIsWatched(t *testing.T) {
	var asked atomic.Value
	events := []string{
		`{"op":"watching","node":"n1","system":"orders"}`,
		`{"op":"sessions","user":"alice","sessions":[{"id":"01A","node":"n2","port":"ws","address":"203.0.113.7"}],"complete":false,"silent":["n3"],"failed":[{"node":"n4","error":"busy"}]}`,
		`{"op":"message","what":"taken","id":"m1","to":["user:alice","room:a\u202eb"],"more_to":3,"from":"bob","type":"paid","bytes":7,"cursor":"c","logged":"2026-11-30T13:25:00.123Z","data":{"n":1}}`,
		`{"op":"message","what":"duplicate","id":"m1","to":["user:alice"],"bytes":7,"data_base64":"AAAA"}`,
		`{"op":"message","what":"poison","cursor":"c"}`,
		`{"op":"gap","reason":"lossy"}`,
		`{"op":"fate","id":"m1","sessions":[{"node":"n2","session":"01A","fate":"gap","reason":"overflow"},{"node":"n1","session":"01B","fate":"written"}],"complete":true}`,
		`{"op":"fate","id":"m2","sessions":[],"complete":true}`,
		`{"op":"skipped","n":17}`,
		`{"op":"fates_left_out","n":1}`,
		`{"op":"sessions","user":"alice","sessions":[],"complete":true}`,
		`{"op":"later"}`,
		`{"op":"goaway"}`,
	}
	want := `watching orders on n1
sessions of alice: 01A on n2, ws 203.0.113.7; no answer from n3, n4 (busy)
2026-11-30T13:25:00Z  taken m1 to user:alice "room:a\u202eb" and 3 more, 7 bytes, type paid, from bob: {"n":1}
-  duplicate m1 to user:alice, 7 bytes: AAAA
-  poison
-  gap lossy
  m1: 01A on n2: gap overflow; 01B on n1: written
  m2: the user has no session
17 events left out: this reads too slowly
what became of 1 message is not told: there are too many
sessions of alice: none
later
the node drains
`
	n := streaming(t, &asked, events...)
	if got := n.run(t, "watch user:alice --system orders --data"); got.code != 1 || got.out != want || !strings.Contains(got.err, "has ended the stream") {
		t.Errorf("got %+v", got)
	}
	if asked.Load() != "GET /v1/systems/orders/watch?data=true&to=user%3Aalice Bearer k" {
		t.Errorf("asked %s", asked.Load())
	}
	if got := n.run(t, "watch user:alice room:b --system orders --json --count 2"); got.code != 0 || got.out != strings.Join(events[:4], "\n")+"\n" || got.err != "" {
		t.Errorf("got %+v", got)
	}
	if asked.Load() != "GET /v1/systems/orders/watch?to=user%3Aalice&to=room%3Ab Bearer k" {
		t.Errorf("asked %s", asked.Load())
	}
	for answer, want := range map[string]string{
		`403 {"status":403,"detail":"this API key may not do that"}`: "may not do that",
		`200 {}`: "no stream of events",
	} {
		if got := answering(t, answer).run(t, "watch --system orders"); got.code != 1 || got.out != "" || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v", answer, got)
		}
	}
	for words, want := range map[string]string{
		"watch": "want --system NAME", "watch alice --system orders": "TARGET: ", "watch --system orders --count -1": "--count: -1",
	} {
		if got := n.run(t, words); got.code != 2 || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v", words, got)
		}
	}
}
