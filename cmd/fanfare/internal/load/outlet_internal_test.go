package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

func messages(n int) (all []Message) {
	for i := range n {
		all = append(all, Message{ID: fmt.Append(nil, "id", i), To: []byte("user:bench-1"), Data: []byte(`{"n":1}`)})
	}
	return all
}

func TestPublishingOverHTTP(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	turn := 0
	answers := []func(w http.ResponseWriter){
		func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"id":"x"}`)
		},
		func(w http.ResponseWriter) { // in chunks, and the connection is closed behind it
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusAccepted)
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, strings.Repeat(" ", 10_000))
		},
		func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"detail":"the bus is down","accepted":1,"ids":["id0","id1"]}`)
		},
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) },
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
		func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, // no answer
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.URL.Path+" "+r.Header.Get("Authorization")+" "+r.Header.Get("Content-Type")+" "+string(body))
		answers[turn](w)
	}))
	defer server.Close()
	u, err := parseNode(server.URL + "/push/")
	if err != nil {
		t.Fatal(err)
	}
	out := newHTTPOutlet(u, "key", nil)
	for i, want := range []struct {
		accepted int
		err      string
		final    bool
	}{{2, "", false}, {2, "", false}, {1, "503", false}, {0, "429", false}, {0, "403", true}, {0, "publishing: ", false}, {2, "", false}} {
		mu.Lock()
		turn = i
		mu.Unlock()
		n, err := out.Publish(t.Context(), "bench", messages(2))
		if n != want.accepted || (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) || errors.Is(err, ErrFinal) != want.final {
			t.Errorf("%d: %d, %v; want %+v", i, n, err, want)
		}
	}
	if _, err := out.Publish(t.Context(), "bench", messages(1)); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	one := `{"to":"user:bench-1","id":"id0","data":{"n":1}}`
	two := `{"to":"user:bench-1","id":"id1","data":{"n":1}}`
	const head = "/push/v1/systems/bench/messages Bearer key application/json "
	if seen[0] != head+"["+one+","+two+"]" || seen[len(seen)-1] != head+one {
		t.Errorf("the node got %q and %q", seen[0], seen[len(seen)-1])
	}
	if err := out.Close(); err != nil {
		t.Error(err)
	}
	if err := out.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestLinesAreWrittenAsTheyAre(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := NewLines(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := out.Publish(context.Background(), "bench", messages(2)); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if err := out.Close(); err != nil {
		t.Error(err)
	}
	var got []string
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		got = append(got, lines.Text())
	}
	if want := `user:bench-1 {"n":1}`; !slices.Equal(got, []string{want, want}) {
		t.Errorf("%q", got)
	}
}
