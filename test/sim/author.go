package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/transport"
)

// An author publishes on the bus itself: with Fanfare's Publisher, or with
// somebody else's, which gives no ids.
type author struct {
	w       *world
	foreign bool
	own     atomic.Pointer[fanfare.Publisher]
	other   atomic.Pointer[transport.Transport]
	close   []func() error
}

// open lets it publish on that bus from now on. What it is about to publish
// still goes to the bus before.
func (a *author) open(bus string) {
	if a.foreign {
		t, err := transport.Openers(a.w.all()).Open(context.Background(), bus, transport.Config{NoNumbers: true})
		if err != nil {
			a.w.fault("%v", err)
			return
		}
		a.other.Store(t)
		a.close = append(a.close, t.Close)
		return
	}
	p, err := fanfare.NewPublisher(context.Background(), bus, "", a.w.openers())
	if err != nil {
		a.w.fault("%v", err)
		return
	}
	a.own.Store(p)
	a.close = append(a.close, p.Close)
}

func (a *author) end() {
	for _, end := range a.close {
		if err := end(); err != nil {
			a.w.fault("%v", err)
		}
	}
}

// publish returns what publishes a letter: under its id until it is sure to be
// on the bus; or, for a foreign author, once and without an id.
func (a *author) publish(ctx context.Context, l letter) func() {
	if a.foreign {
		to, bus := l.to, a.other.Load()
		return func() {
			list, _ := json.Marshal(to)
			m := message.NewMessage("", fmt.Appendf(nil, `{"to":%s,"data":%s}`, list, l.data()))
			m.Metadata.Set(transport.RawKey, "1")
			if bus.PublishContext(ctx, "fanfare."+l.system, m) == nil {
				a.w.accept(l)
			}
		}
	}
	bus := a.own.Load()
	return func() {
		for range 20 {
			_, err := bus.Publish(ctx, l.system, fanfare.Message{ID: l.id, To: l.to, Data: json.RawMessage(l.data())})
			if err == nil {
				a.w.accept(l)
			}
			if !errors.Is(err, fanfare.ErrBusDown) {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// A letter is a message that somebody publishes.
type letter struct {
	n      int
	system string
	id     string
	to     []string
}

func (l letter) data() []byte { return fmt.Appendf(nil, `{"n":%d}`, l.n) }

// services is how many publish over HTTP. Their letters are numbered from the
// thousands of theirs on.
const (
	services = 3
	theirs   = 1_000_000
)

// serve publishes over HTTP, on any node, until ctx ends: one letter after the
// other, each until it is accepted.
func (w *world) serve(ctx context.Context, k int) {
	rnd := rand.New(rand.NewPCG(w.cfg.Seed, uint64(50+k)))
	for n := (1 + k) * theirs; ctx.Err() == nil; n++ {
		l := letter{n: n, system: w.systems[rnd.IntN(len(w.systems))], id: fmt.Sprint("m", n), to: []string{"*"}}
		for !w.post(ctx, rnd, l) && ctx.Err() == nil {
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
		}
		time.Sleep(time.Duration(rnd.IntN(w.pace())) * time.Millisecond)
	}
}

func (w *world) post(ctx context.Context, rnd *rand.Rand, l letter) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	node := w.nodes[rnd.IntN(len(w.nodes))].name
	via := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return w.net.Dial(ctx, node) },
	}}
	body := fmt.Sprintf(`{"id":%q,"to":%q,"data":%s}`, l.id, l.to[0], l.data())
	url := "http://127.0.0.1/v1/systems/" + l.system + "/messages"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		w.fault("%v", err)
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := via.Do(req)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body) // it is only waited for
	switch answer.StatusCode {
	case http.StatusAccepted:
		w.accept(l)
		return true
	case http.StatusServiceUnavailable:
	default:
		w.fault("publishing over HTTP: %s", answer.Status)
	}
	return false
}
