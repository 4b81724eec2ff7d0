package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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
		fmt.Fprint(w, `{"ids":["a","b"]}`)
	}))
	defer server.Close()
	ids, err := client.Publisher{Node: server.URL + "/base/", Key: "k"}.Publish(t.Context(), "orders", []byte("{}\n{}\n"))
	if diff := cmp.Diff([]string{"a", "b"}, ids); diff != "" || err != nil {
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
