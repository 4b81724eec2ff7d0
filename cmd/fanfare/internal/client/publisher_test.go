package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNodeURLMustBeOne(t *testing.T) {
	for _, bad := range []string{"", "localhost:8080", "redis://h", "ws://h", "http://", "http://%zz", "://"} {
		if _, err := (client.Publisher{Node: bad}).Publish(t.Context(), "orders", nil); err == nil {
			t.Errorf("%q: published", bad)
		}
	}
}

func TestPublisherPostsLinesAndReturnsTheirIDs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/base/v1/systems/orders/messages" || r.Header.Get("Content-Type") != "application/x-ndjson" ||
			r.Header.Get("Authorization") != "Bearer k" || string(body) != "{}\n{}\n" {
			t.Errorf("got %s %v %q", r.URL, r.Header, body)
		}
		w.WriteHeader(202)
		fmt.Fprint(w, `{"ids":["a","b"],"cursor":"c"}`)
	}))
	defer server.Close()
	done, err := client.Publisher{Node: server.URL + "/base/", Key: "k"}.Publish(t.Context(), "orders", []byte("{}\n{}\n"))
	want := client.Published{IDs: []string{"a", "b"}, Cursor: "c"}
	if diff := cmp.Diff(want, done); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestPublisherTellsHowFarARefusedBatchCame(t *testing.T) {
	for body, want := range map[string]client.Refusal{
		`{"status":503,"detail":"down","accepted":1,"ids":["a","b"]}`: {Status: 503, Detail: "down", Accepted: 1, IDs: []string{"a", "b"}},
		`<html>`: {Status: 503},
		``:       {Status: 503},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			fmt.Fprint(w, body)
		}))
		_, err := client.Publisher{Node: server.URL}.Publish(t.Context(), "orders", []byte("{}"))
		var got *client.Refusal
		if !errors.As(err, &got) || !cmp.Equal(*got, want) {
			t.Errorf("%q: got %+v; want %+v", body, err, want)
		}
		server.Close()
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for status, tt := range map[int]struct{ body, want string }{
		401: {`{"status":401,"detail":"publishing needs an API key"}`, "publishing needs an API key (give it with --key or FANFARE_KEY)"},
		403: {`{"status":403,"detail":"it needs the scope publish/orders"}`, "403 Forbidden: it needs the scope publish/orders"},
		404: {"<html>", "is there a Fanfare node at this URL?"},
		429: {`{"status":429,"detail":"publish less at a time"}`, "429 Too Many Requests: publish less at a time"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, tt.body)
		}))
		_, err := client.Publisher{Node: server.URL}.Publish(t.Context(), "orders", []byte("{}"))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d: %v; want %q", status, err, tt.want)
		}
		server.Close()
	}
	_, err := client.Publisher{Node: "http://u:hunter2@127.0.0.1:1/?token=hunter3"}.Publish(t.Context(), "orders", nil)
	if err == nil || !strings.Contains(err.Error(), "no answer from a node at http://127.0.0.1:1 (see --url): ") || strings.Contains(err.Error(), "hunter") {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := (client.Publisher{Node: "ws://h"}).Publish(t.Context(), "orders", nil); err == nil || !strings.Contains(err.Error(), "want http:// or https://") {
		t.Errorf("another scheme: %v", err)
	}
}
