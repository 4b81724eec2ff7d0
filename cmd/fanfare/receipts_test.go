package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// reporting is a node that answers each request with a report, and says what it was asked.
func reporting(t *testing.T, asked chan<- string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- r.Method + " " + r.URL.String() + " " + string(body)
		fmt.Fprint(w, `{"id":"m","system":"orders","receipt":true,"complete":false,"silent":["n3"],"receipts":[
			{"to":"user:alice","state":"gap","counts":{"gap":1},"next":"01S","sessions":[
				{"session":"01S","user":"alice","node":"n2","state":"gap","reason":"overflow"}]},
			{"to":"user:bob","state":"no_session","counts":{},"sessions":[]}]}`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestReceiptsArePrinted(t *testing.T) {
	asked := make(chan string, 1)
	url := reporting(t, asked)
	for _, args := range [][]string{
		{"receipts", "m/1", "--system", "orders", "--url", url, "--limit", "5"},
		{"publish", "--system", "orders", "--to", "user:alice", "--to", "user:bob", "--data", "1", "--url", url, "--wait", "acked:2s"},
	} {
		got := fanfareRun(t, args...)
		for _, want := range []string{"m in orders", "gap (overflow)", "01S", "n2", "no_session", "--after 01S", "did not answer: n3"} {
			if got.code != 0 || !strings.Contains(got.out, want) {
				t.Errorf("%v: no %q in %+v", args, want, got)
			}
		}
		request := <-asked
		want := "GET /v1/systems/orders/messages/m%2F1/receipts?limit=5"
		if args[0] == "publish" {
			want = "POST /v1/systems/orders/messages?wait=acked%3A2s"
			if !strings.Contains(request, `"receipt":true`) {
				t.Errorf("it does not ask for receipts: %s", request)
			}
		}
		if !strings.HasPrefix(request, want) {
			t.Errorf("asked %s, want %s", request, want)
		}
	}
}

func TestWaitingPrintsTheAnswerAsJSON(t *testing.T) {
	asked := make(chan string, 1)
	url := reporting(t, asked)
	got := fanfareRun(t, "publish", "--system", "orders", "--to", "user:alice", "--data", "1",
		"--url", url, "--wait", "acked:2s", "--json")
	if <-asked; got.code != 0 || !json.Valid([]byte(got.out)) || !strings.Contains(got.out, `"silent":["n3"]`) {
		t.Errorf("got %+v", got)
	}
}

// TestReceiptsThatEndEarlyBlameNoNode has the answer to a wait that ended once enough was known.
func TestReceiptsThatEndEarlyBlameNoNode(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"m","system":"orders","receipt":true,"complete":false,"receipts":[]}`)
	}))
	t.Cleanup(s.Close)
	got := fanfareRun(t, "publish", "--system", "orders", "--to", "user:alice", "--data", "1",
		"--url", s.URL, "--wait", "acked:2s")
	if !strings.Contains(got.out, "other sessions may be missing") || strings.Contains(got.out, "none") {
		t.Errorf("got %+v", got)
	}
}

func TestReceiptsAreAskedForProperly(t *testing.T) {
	for _, args := range []string{
		"receipts", "receipts a b --system orders", "receipts a", "receipts a --system orders --limit 0",
		"publish --system orders --to user:a --data 1 --wait 2s", "publish --system orders --wait acked:2s -",
		"publish --system orders --to user:a --data 1 --wait acked:2s --transport memory:",
	} {
		if got := fanfareRun(t, strings.Fields(args)...); got.code != 2 || got.out != "" {
			t.Errorf("%s: %+v", args, got)
		}
	}
}
