package load

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/client"
)

// A payload is the data of a message.
type payload struct {
	Run string `json:"run"` // tells this load's messages from others
	N   int    `json:"n"`
	Due int64  `json:"due"` // nanoseconds since the load began
	Pad string `json:"pad,omitempty"`
}

// A listener is one session and what it has heard.
type listener struct {
	run     *run
	client  *client.Client
	first   int           // the number of the first message that is for it
	step    int           // from the number of one message that is for it to that of the next
	greeted chan struct{} // closed with the first hello
	once    sync.Once     // guards closing greeted

	mu    sync.Mutex
	heard []uint64 // a bit for each message that is for it; guarded by mu
	last  int      // the highest number; -1 for none; guarded by mu
	counts
}

// counts are what a listener counts; its mu guards them.
type counts struct{ arrived, twice, disordered, gaps, hellos int }

func (l *listener) handler() client.Handler {
	return client.Handler{
		Message: func(_ context.Context, m *client.Message) error { l.hear(m.Data); return nil },
		Hello: func(context.Context, *client.Hello) error {
			l.once.Do(func() { close(l.greeted) })
			l.mu.Lock()
			defer l.mu.Unlock()
			l.hellos++
			return nil
		},
		Gap: func(context.Context, *client.Gap) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.gaps++
			return nil
		},
		Lost: func(_ context.Context, lost *client.Lost) error {
			select {
			case <-l.greeted:
				return nil // the client tries again
			default: // it never had a session
				return fmt.Errorf("a session was not let in: %w", lost.Err)
			}
		},
	}
}

// awaitGreeting returns when the session was greeted for the first time. Its error
// is why ctx or listening has ended before.
func (l *listener) awaitGreeting(ctx, listening context.Context) error {
	select {
	case <-l.greeted:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-listening.Done():
		return context.Cause(listening)
	}
}

// hear accounts for a message.
func (l *listener) hear(data []byte) {
	now := time.Now()
	var p payload
	if json.Unmarshal(data, &p) != nil || p.Run != l.run.id {
		return // of another load, or of no load at all
	}
	if p.N < l.first || (p.N-l.first)%l.step != 0 {
		return // for another session
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := (p.N - l.first) / l.step
	for i/64 >= len(l.heard) {
		l.heard = append(l.heard, 0)
	}
	if l.heard[i/64]&(1<<(i%64)) != 0 {
		l.twice++
		return
	}
	l.heard[i/64] |= 1 << (i % 64)
	if p.N < l.last {
		l.disordered++
	}
	l.last = max(l.last, p.N)
	l.arrived++
	l.run.arrived.Add(1)
	// began may be read: it was set before the first message was published.
	l.run.latency.add(now.Sub(l.run.began) - time.Duration(p.Due))
}

// missing is how many of a load's first messages are for it and were not heard.
// l.mu is held.
func (l *listener) missing(messages int) (n int) {
	for i := 0; l.first+i*l.step < messages; i++ {
		if i/64 >= len(l.heard) || l.heard[i/64]&(1<<(i%64)) == 0 {
			n++
		}
	}
	return n
}
