package publishers

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seeds are heads that are simple, and heads that are nearly so.
var seeds = []string{
	"POST /v1/systems/orders/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
	"POST /v1/systems/a-b_0/messages HTTP/1.1\r\nhost: [::1]:80\r\ncontent-length: 3072\r\nConnection: keep-alive\r\n" +
		"authorization: Bearer a\r\nAuthorization: Bearer b\r\nEMPTY:\r\nX: \t a b \t\r\n\r\n",
	"POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
	"POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
	"POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}",
	"POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\nContent-Length: 2\r\n\r\n{}",
	"POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\r\n\nContent-Length: 2\r\n\r\n{}",
	"POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\n\r\n{}",
	"POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX: a\r\n b\r\n\r\n{}",
	"POST /v1/systems/../messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
	"POST /v1/systems/a/b/messages HTTP/1.1\r\nHost: a, b\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
	"POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
	"POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: keep-alive\r\nConnection: keep-alive\r\n\r\n{}",
	"POST  HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
	"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
}

// What this package takes for a simple head, net/http must read as the same request, to
// the byte: otherwise somebody could hide one request in another. And what was read
// before must not matter.
func FuzzHead(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(s), []byte(seeds[(i+1)%len(seeds)]))
		f.Add([]byte(s), []byte(seeds[0]))
	}
	f.Fuzz(func(t *testing.T, before, text []byte) {
		var used, fresh head
		used.parse(before)
		size, ok := used.parse(text)
		if again, okAgain := fresh.parse(text); again != size || okAgain != ok {
			t.Fatalf("%q: %d, %v after %q; else %d, %v", text, size, ok, before, again, okAgain)
		}
		if !ok {
			return
		}
		if used.path != fresh.path || used.host != fresh.host || used.length != fresh.length ||
			!cmp.Equal(used.header, fresh.header) {
			t.Fatalf("%q is %+v after %q, else %+v", text, used, before, fresh)
		}
		source := bytes.NewReader(text)
		in := bufio.NewReader(source)
		r, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("%q is refused by net/http: %v", text, err)
		}
		if n := len(text) - source.Len() - in.Buffered(); n != size {
			t.Errorf("%q: %d bytes of %d", text, size, n)
		}
		if r.Method != "POST" || r.Proto != "HTTP/1.1" || r.Close || len(r.TransferEncoding) > 0 || r.URL.RawQuery != "" ||
			r.URL.Path != fresh.path || r.RequestURI != fresh.path || r.Host != fresh.host || r.ContentLength != int64(fresh.length) {
			t.Errorf("%q: %+v, but net/http reads %+v", text, fresh, r)
		}
		if diff := cmp.Diff(r.Header, fresh.header); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
		if !isSimple(r) {
			t.Errorf("%q is simple, but not as the first request of a connection", text)
		}
		if fresh.length > maxBody || fresh.length <= 0 || len(fresh.lines) > maxLines {
			t.Errorf("%q: not bounded: %+v", text, fresh)
		}
	})
}

func TestHeadsThatAreSimple(t *testing.T) {
	many := "POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n" + strings.Repeat("X: y\r\n", maxLines-2) + "\r\n"
	for i, text := range append(seeds[:2:2], many) {
		var h head
		if size, ok := h.parse([]byte(text)); !ok || size != strings.Index(text, "\r\n\r\n")+4 {
			t.Errorf("head %d: %d, %v", i, size, ok)
		}
	}
	for _, text := range append(seeds[2:], strings.Replace(many, "X:", "X: y\r\nX:", 1), "", "POST", "\r\n\r\n") {
		if size, ok := new(head).parse([]byte(text)); ok {
			t.Errorf("%q is simple: %d", text, size)
		}
	}
}

// What earlier heads had in other places is let go, so a client cannot pile it up.
func TestAHeadKeepsNothingOfEarlierOnes(t *testing.T) {
	var h head
	for i := maxLines - 3; i >= 0; i-- {
		text := "POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n" +
			strings.Repeat("X: y\r\n", i) + "X: " + strings.Repeat("z", maxHead/2) + "\r\n\r\n"
		if _, ok := h.parse([]byte(text)); !ok {
			t.Fatalf("%d lines are not simple", i)
		}
	}
	kept := 0
	for _, l := range h.lines[:cap(h.lines)] {
		kept += len(l.text) + len(l.name) + len(l.value)
	}
	for _, v := range h.values[:cap(h.values)] {
		kept += len(v)
	}
	if kept > 3*maxHead {
		t.Errorf("%d bytes are kept", kept)
	}
}

// A first request with a long header is left to net/http, which lets it go when it is
// answered.
func TestAFirstRequestWithALongHeaderIsNotSimple(t *testing.T) {
	for _, test := range []struct {
		lines, length int
		want          bool
	}{{1, maxHead / 2, true}, {1, maxHead, false}, {maxLines - 2, 1, true}, {maxLines, 1, false}} {
		text := "POST /v1/systems/a/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n" +
			strings.Repeat("X: "+strings.Repeat("z", test.length)+"\r\n", test.lines) + "\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		if got := isSimple(r); got != test.want {
			t.Errorf("%d lines of %d bytes: %v", test.lines, test.length, got)
		}
	}
}

// Nothing is allocated for a head that is like the one before it.
func TestAHeadThatIsLikeTheLastAllocatesNothing(t *testing.T) {
	var h head
	text := []byte(seeds[1][:strings.Index(seeds[1], "authorization")] + "Authorization: Bearer a\r\n\r\n")
	if n := testing.AllocsPerRun(100, func() { h.parse(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What clients chose must not add a line to the header of an answer.
func TestAnAnswerHasNoLineBreaksInItsHeader(t *testing.T) {
	c := &conn{}
	c.out = answer{conn: c, header: http.Header{"A": {"1\r\nB: 2"}}}
	c.out.status = 200
	var got bytes.Buffer
	if err := c.out.send(&got, time.Now(), true); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(&got), nil)
	if err != nil || r.Header.Get("A") != "1  B: 2" || r.Header.Get("B") != "" || !r.Close {
		t.Errorf("%v, %+v", err, r)
	}
}
