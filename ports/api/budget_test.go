package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/api"
)

// A tap is a body of which only a part comes.
type tap struct {
	come  io.Reader
	dried func()
	more  chan struct{} // closed: the body ends early
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.come.Read(p)
	if err == io.EOF {
		t.dried()
		<-t.more
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

var spaces = strings.Repeat(" ", 4_000_000) // shared, so that it does not count in the measurement

// upload sends size bytes of a body of 4 MB. It returns when they are read, or when the
// request is refused with the status.
func upload(t *testing.T, h http.Handler, key string, size int, more chan struct{}, all *sync.WaitGroup) (status int) {
	t.Helper()
	dried, answered := make(chan struct{}), make(chan int, 1)
	body := &tap{io.LimitReader(strings.NewReader(spaces), int64(size)), sync.OnceFunc(func() { close(dried) }), more}
	r := request("", "Authorization", "Bearer "+key)
	r.Body, r.ContentLength = io.NopCloser(body), 4_000_000
	all.Go(func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == 429 || w.Code == 503 {
			if w.Header().Get("Retry-After") == "" {
				t.Errorf("status %d without Retry-After", w.Code)
			}
		}
		answered <- w.Code
	})
	select {
	case <-dried:
		return 0
	case status := <-answered:
		return status
	case <-time.After(20 * time.Second):
		t.Fatal("neither read nor refused")
		return 0
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestBodiesInFlightHaveABudget(t *testing.T) {
	a, h := newAPI(t, &bus{}, api.Config{Bodies: 40 << 20, BodiesPerKey: 24 << 20})
	more, all := make(chan struct{}), new(sync.WaitGroup)
	before := heap()
	count := func(key string) (taken, status int) {
		for taken < 100 {
			if status = upload(t, h, key, 3_000_000, more, all); status != 0 {
				return taken, status
			}
			taken++
		}
		return taken, 0
	}
	if n, status := count("shop"); status != 429 || n < 3 || n > 8 {
		t.Errorf("one key: %d bodies, then %d; want some, then 429", n, status)
	}
	if n, status := count("ops"); status != 503 || n < 1 {
		t.Errorf("another key: %d bodies, then %d; want some, then 503", n, status)
	}
	if refused := a.Stats().Refused; refused["key_memory"] != 1 || refused["node_memory"] != 1 {
		t.Errorf("counted %v; want one key_memory and one node_memory", refused)
	}
	counted, used := a.Stats().Bodies, heap()-before
	if counted < 30<<20 || counted > 40<<20 {
		t.Errorf("%d bytes are counted", counted)
	}
	if used > counted*5/4+(4<<20) {
		t.Errorf("%d bytes are counted, but the heap has %d more", counted, used)
	}
	close(more)
	all.Wait()
	if n := a.Stats().Bodies; n != 0 {
		t.Errorf("%d bytes are counted when all have gone", n)
	}
	if left := heap() - before; left > 4<<20 {
		t.Errorf("the heap keeps %d bytes", left)
	}
	if got := do(t, h, request(good)); got.Status != 202 {
		t.Errorf("afterwards: %+v", got)
	}
}

// The length that a request announces costs nothing: only what has come counts.
func TestAnAnnouncedBodyCostsNothing(t *testing.T) {
	a, h := newAPI(t, &bus{}, api.Config{Bodies: 40 << 20, BodiesPerKey: 24 << 20})
	more, all := make(chan struct{}), new(sync.WaitGroup)
	for i := range 200 {
		if status := upload(t, h, "shop", 1, more, all); status != 0 {
			t.Fatalf("body %d: %d", i, status)
		}
	}
	if n := a.Stats().Bodies; n > 200*4096 {
		t.Errorf("%d bytes are counted for 200 that came", n)
	}
	close(more)
	all.Wait()
}

// A budget that is too small for one request would refuse that request for ever.
func TestARequestThatIsAloneIsAlwaysPossible(t *testing.T) {
	_, h := newAPI(t, &bus{}, api.Config{Bodies: 1, BodiesPerKey: 1})
	line := `{"to":"*","data":"` + strings.Repeat("x", 60_000) + `"}` + "\n"
	for _, chunked := range []bool{false, true} {
		r := request(strings.Repeat(line, 69), "Content-Type", "application/x-ndjson")
		if chunked {
			r.ContentLength = -1
		}
		if got := do(t, h, r); got.Status != 202 || len(got.IDs) != 69 {
			t.Errorf("chunked %v: %d %s", chunked, got.Status, got.Detail)
		}
	}
}

// held is a bus that takes messages only when the test lets it.
type held struct{ in, out chan struct{} }

func (b held) Publish(context.Context, domain.System, ...*domain.Message) (domain.Cursor, error) {
	b.in <- struct{}{}
	<-b.out
	return domain.Cursor{}, nil
}

// The messages of a body count until the bus has them, and the memory that is counted is
// the memory that is used.
func TestMessagesOnTheirWayToTheBusCount(t *testing.T) {
	for name, element := range map[string]string{
		"large": `{"to":"*","data":"` + strings.Repeat("x", 60_000) + `"}`,
		"small": `{"to":"*","data":1}`,
	} {
		b := held{make(chan struct{}), make(chan struct{})}
		a, h := newAPI(t, b, api.Config{})
		body := "[" + strings.TrimSuffix(strings.Repeat(element+",", min(1000, (4<<20-2)/(len(element)+1))), ",") + "]"
		before := heap()
		var all sync.WaitGroup
		const requests = 4
		for range requests {
			all.Go(func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, request(body))
				if w.Code != 202 {
					t.Errorf("%s: %d %s", name, w.Code, w.Body)
				}
			})
			<-b.in
		}
		// A thousand messages take memory of their own, beside the bodies' strings,
		// which belong to the test.
		counted, used := a.Stats().Bodies, heap()-before
		if used > counted+requests*(1<<20) {
			t.Errorf("%s: %d bytes are counted, but the heap has %d more", name, counted, used)
		}
		close(b.out)
		all.Wait()
		if n := a.Stats().Bodies; n != 0 {
			t.Errorf("%s: %d bytes are counted in the end", name, n)
		}
	}
}

func TestHostileBodiesAreRefusedSoon(t *testing.T) {
	_, h := newAPI(t, &bus{}, api.Config{})
	deep := strings.Repeat("[", 2_000_000)
	for name, tt := range map[string]struct {
		r    *http.Request
		want int
	}{
		"an array, deep":         {request(deep), 400},
		"an object, deep":        {request(strings.Repeat(`{"a":`, 700_000)), 400},
		"data, deep":             {request(`{"to":"*","data":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `}`), 0},
		"a line without an end":  {request(strings.Repeat("x", 4<<20), "Content-Type", "application/x-ndjson"), 400},
		"many empty lines":       {request(strings.Repeat("\n", 4<<20), "Content-Type", "application/x-ndjson"), 422},
		"many empty elements":    {request("[" + strings.Repeat("0,", 2_000_000) + "0]"), 413},
		"compressed":             {request("x", "Content-Encoding", "gzip"), 415},
		"compressed, many times": {request("x", "Content-Encoding", "br, gzip"), 415},
	} {
		began := time.Now()
		got := do(t, h, tt.r)
		if tt.want != 0 && got.Status != tt.want || got.Status == 500 {
			t.Errorf("%s: %d %s; want %d", name, got.Status, got.Detail, tt.want)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// A client that sends Expect: 100-continue is refused before it sends the body.
func TestARefusedRequestIsNotAskedForItsBody(t *testing.T) {
	a, err := api.New(&bus{}, keys{}, &node{}, api.Config{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Publishing(mux)
	s := httptest.NewServer(a.Bounded(mux))
	defer s.Close()
	for name, header := range map[string]string{
		"no key": "Content-Type: application/json\r\n", "compressed": "Authorization: Bearer shop\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n",
		"too large": "Authorization: Bearer shop\r\nContent-Type: application/json\r\nX: y\r\n",
	} {
		answer := raw(t, s.Listener.Addr().String(), fmt.Sprintf(
			"POST /v1/systems/orders/messages HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n%sContent-Length: 90000000\r\n\r\n", header))
		if !strings.HasPrefix(answer, "HTTP/1.1 4") {
			t.Errorf("%s: %q", name, answer)
		}
	}
}

// raw sends a request's head and returns the first line that comes back.
func raw(t *testing.T, addr, head string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, head); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}
