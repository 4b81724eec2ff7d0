package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/client"
)

// A crowd is many clients, whose connections are cut now and then.
type crowd struct {
	t        *testing.T
	sessions []*session
	cuts     atomic.Int64 // connections that we ended
	dropped  atomic.Int64 // connections that ended otherwise
	cutting  atomic.Bool
	end      context.CancelFunc
	work     errgroup.Group

	mu    sync.Mutex
	conns map[int]net.Conn // the latest one of each client; guarded by mu
	open  int              // sessions; guarded by mu
	heard map[*session]map[label]bool
}

// A connection tells the crowd when its client has to close it, because the
// other side wants or did that: one that we cut is closed already.
type connection struct {
	net.Conn
	dropped *atomic.Int64
}

func (c *connection) Close() error {
	err := c.Conn.Close()
	if err == nil {
		c.dropped.Add(1)
	}
	return err
}

func startCrowd(c *cluster) *crowd {
	ctx, end := context.WithCancel(context.Background())
	w := &crowd{t: c.t, end: end, conns: make(map[int]net.Conn), heard: make(map[*session]map[label]bool)}
	c.t.Cleanup(func() { end(); w.work.Wait() })
	for i := range movers {
		s := &session{name: fmt.Sprintf("client %d", i), user: fmt.Sprintf("u%d", i%(movers/2)), rooms: []string{fmt.Sprintf("r%d", i%7)}}
		w.sessions = append(w.sessions, s)
		w.heard[s] = make(map[label]bool)
		who := w.client(c, i, s)
		w.work.Go(func() error {
			if err := who.Run(ctx); err != nil {
				w.t.Errorf("%s: %v", s.name, err)
			}
			return nil
		})
	}
	w.settled()
	w.cutting.Store(true)
	w.work.Go(func() error { w.cut(ctx); return nil })
	return w
}

func (w *crowd) client(c *cluster, i int, s *session) *client.Client {
	token := c.token(s.user, "orders")
	dialer := &websocket.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.conns[i] = conn
		return &connection{Conn: conn, dropped: &w.dropped}, nil
	}}
	who, err := client.New(client.Config{
		URL: "http://" + c.front, Systems: []string{"orders"}, Rooms: []string{"orders/" + s.rooms[0]}, Dialer: dialer,
		Token:      func(context.Context) (string, error) { return token, nil },
		FirstPause: 20 * time.Millisecond, MaxPause: 500 * time.Millisecond,
		Handler: client.Handler{
			Hello: func(context.Context, *client.Hello) error { w.count(1); return nil },
			Lost: func(_ context.Context, l *client.Lost) error {
				if l.Failures <= 1 {
					w.count(-1)
				}
				return nil
			},
			Gap: func(_ context.Context, g *client.Gap) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				s.ops = append(s.ops, op{Op: "gap", Reason: g.Reason, Cursor: g.Cursor})
				return nil
			},
			Message: func(_ context.Context, m *client.Message) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				l := readLabel(m.Data)
				s.messages = append(s.messages, received{label: l, id: m.ID, to: m.To, data: string(m.Data)})
				w.heard[s][l] = true
				return nil
			},
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return who
}

func (w *crowd) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open += n
}

// settled waits until all are connected.
func (w *crowd) settled() {
	w.t.Helper()
	eventually(w.t, 30*time.Second, "all clients are connected", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.open < movers {
			return fmt.Errorf("%d are", w.open)
		}
		return nil
	})
}

// cut ends a connection now and then, as networks do.
func (w *crowd) cut(ctx context.Context) {
	tick := time.NewTicker(moverCut)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !w.cutting.Load() {
			continue
		}
		w.mu.Lock()
		i := rand.IntN(movers)
		conn := w.conns[i]
		w.mu.Unlock()
		if conn.Close() == nil { // not closed already
			w.cuts.Add(1)
		}
	}
}

// finish waits until everyone has the last letter, and ends all clients.
func (w *crowd) finish(letters map[label]*letter) {
	w.t.Helper()
	w.cutting.Store(false)
	last := label{"last", 1}
	eventually(w.t, 60*time.Second, "everyone has the last letter", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.sessions {
			if !w.heard[s][last] {
				return fmt.Errorf("%s has %d messages", s.name, len(s.messages))
			}
		}
		return nil
	})
	w.end()
	_ = w.work.Wait() // nobody fails
}
