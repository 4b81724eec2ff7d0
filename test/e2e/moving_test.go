package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/test/broker"
)

const (
	movers        = 200                    // clients
	moverServices = 5                      // publishers of each kind
	moverPace     = 20 * time.Millisecond  // of each: 500 messages a second in all
	moverCut      = 150 * time.Millisecond // between two connections that are cut
)

// The bus is moved again and again while it is used, as docs/moving.md says: no
// message is lost, none comes twice, all come in one order, no connection is
// dropped by the move, and no client is told a gap, though clients come and go.
func TestMovedLive(t *testing.T) {
	needs(t, "redis-server")
	redis := broker.Redis(t)
	buses := []string{
		fmt.Sprintf("redis-streams://%s/0", redis.Addr()), broker.NATS(t).URL("jetstream"), broker.Kafka(t).URL(),
		fmt.Sprintf("redis-streams://%s/1", redis.Addr()),
	}

	c := newCluster(t, 3, buses[0], nil)
	c.withNginx()
	crowd := startCrowd(c)
	services := startServices(c, buses[0])
	for i, to := range buses[1:] {
		from := buses[i]
		t.Logf("moving from %s to %s", from, to)
		time.Sleep(2 * time.Second) // of service on the old bus

		bridge := startBridge(t, from, to)
		c.env["TRANSPORT"] = from + " " + to
		c.roll()
		bridge.kill() // nothing is lost by that
		bridge = startBridge(t, from, to)
		crowd.settled()
		before := crowd.dropped.Load()
		moveTo(t, from, to)
		eventually(t, 20*time.Second, "every node has arrived", func() error {
			for _, n := range c.nodes {
				if got := n.metric("fanfare_bus_moved_systems"); got != 2 {
					return fmt.Errorf("%s: %v systems have", n.name, got)
				}
			}
			return nil
		})
		time.Sleep(time.Second)
		if dropped := crowd.dropped.Load() - before; dropped != 0 {
			t.Errorf("the move has dropped %d connections", dropped)
		}
		services.follow(to)
		time.Sleep(time.Second)
		c.env["TRANSPORT"] = to
		c.roll()
		bridge.terminate()
		if code := bridge.exit(20 * time.Second); code != 0 {
			t.Errorf("the bridge ended with %d", code)
		}
	}
	letters := services.stop()
	crowd.finish(letters)

	t.Logf("%d messages, %d connections cut, %d drained", len(letters), crowd.cuts.Load(), crowd.dropped.Load())
	for _, s := range crowd.sessions {
		if len(s.told()) > 0 {
			t.Errorf("%s was told %+v", s.name, s.told())
		}
		if err := judge(s, letters); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
	if err := inOneOrder(crowd.sessions); err != nil {
		t.Error(err)
	}
}

func startBridge(t *testing.T, from, to string) *process {
	t.Helper()
	cmd := exec.Command(fanfareBinary, "bridge", "--from", from, "--to", to, "--systems", "orders,chat")
	cmd.Env = environ(nil)
	b := start(t, "bridge", cmd)
	eventually(t, 20*time.Second, "the bridge copies both systems", func() error {
		if log := b.log.String(); strings.Count(log, "msg=copying topic=") < 2 {
			return fmt.Errorf("it says %s", log)
		}
		return nil
	})
	return b
}

func moveTo(t *testing.T, from, to string) {
	t.Helper()
	cmd := exec.Command(fanfareBinary, "move", "--from", from, "--to", to, "--systems", "orders,chat", "--wait", "30s")
	cmd.Env = environ(nil)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("fanfare move: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// `fanfare move` without a bridge does nothing, for no system that it names, be it
// one that nothing was published to, or one whose bridge has died; nodes and
// publishers go on as before. And if there is a mark all the same, the node says
// so of that one system, and serves the others.
func TestMoveNeedsALivingBridge(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	from, to := fmt.Sprintf("redis-streams://%s/0", r.Addr()), fmt.Sprintf("redis-streams://%s/1", r.Addr())
	c := newCluster(t, 1, from+" "+to, settings{"SYSTEMS": "orders,chat,quiet"})
	n := c.nodes[0]
	status := func(path string) (int, string) {
		t.Helper()
		status, body, err := get("http://" + n.addr + path)
		must(t, err)
		return status, body
	}
	publishes := func(system string, want int) {
		t.Helper()
		if a, err := c.post(system, `{"to":"user:alice","data":1}`); err != nil || a.status != want {
			t.Errorf("publishing to %s: %+v, %v; want %d", system, a, err, want)
		}
	}
	moves := func(systems string) {
		t.Helper()
		cmd := exec.Command(fanfareBinary, "move", "--from", from, "--to", to, "--systems", systems, "--wait", "2s")
		cmd.Env = environ(nil)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "no bridge is seen") || strings.Contains(string(out), "taken over") {
			t.Errorf("fanfare move --systems %s: %v, %s", systems, err, out)
		}
		for _, system := range strings.Split(systems, ",") {
			publishes(system, 202)
		}
		if status, body := status("/readyz?system=*"); status != 200 {
			t.Errorf("then /readyz?system=* is %d %s", status, body)
		}
	}
	moves("quiet")
	bridge := startBridge(t, from, to) // of orders and chat
	publishes("orders", 202)
	moves("orders,quiet")
	bridge.kill()
	moves("orders")

	mark := []string{"_watermill_message_uuid", "mark", "metadata", "\x81\xacfanfare.move\xa5leave", "payload", ""}
	must(t, r.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: "fanfare.quiet", Values: mark}).Err())
	eventually(t, 20*time.Second, "the node says that it hears no more of quiet", func() error {
		status, body := status("/readyz")
		if status != 200 || !strings.Contains(body, `"status":"ready"`) || !strings.Contains(body, `"deaf":["quiet"]`) {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	if got := n.metric(`fanfare_deaf{system="quiet"}`); got != 1 {
		t.Errorf("fanfare_deaf is %v", got)
	}
	for path, want := range map[string]int{"/readyz?system=quiet": 503, "/readyz?system=orders": 200, "/readyz?system=*": 503} {
		if status, body := status(path); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
	publishes("orders", 202)
	publishes("quiet", 503)
}

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

// services publish: half of them over HTTP, half on the bus itself.
type services struct {
	c    *cluster
	quit chan struct{}
	work sync.WaitGroup
	bus  []*atomic.Pointer[fanfare.Publisher] // of those who publish on the bus

	mu      sync.Mutex
	letters map[label]*letter // guarded by mu
}

func startServices(c *cluster, bus string) *services {
	s := &services{c: c, quit: make(chan struct{}), letters: make(map[label]*letter)}
	c.t.Cleanup(s.end)
	for i := range moverServices {
		name := fmt.Sprintf("http%d", i)
		s.work.Go(func() { s.serve(name, s.overHTTP) })
	}
	for i := range moverServices {
		name, p := fmt.Sprintf("bus%d", i), &atomic.Pointer[fanfare.Publisher]{}
		p.Store(s.open(bus))
		s.bus = append(s.bus, p)
		s.work.Go(func() { s.serve(name, func(l *letter) bool { return s.onBus(p.Load(), l) }) })
	}
	return s
}

func (s *services) open(bus string) *fanfare.Publisher {
	p, err := fanfare.NewPublisher(context.Background(), bus, "")
	if err != nil {
		s.c.t.Fatal(err)
	}
	s.c.t.Cleanup(func() { p.Close() })
	return p
}

// follow moves those who publish on the bus, one at a time.
func (s *services) follow(bus string) {
	for _, p := range s.bus {
		time.Sleep(200 * time.Millisecond)
		p.Store(s.open(bus))
	}
}

// serve publishes letters at its pace, each until it is accepted.
func (s *services) serve(name string, publish func(*letter) bool) {
	random := rand.New(rand.NewPCG(uint64(len(name)), uint64(name[len(name)-1])))
	tick := time.NewTicker(moverPace)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-s.quit:
			return
		}
		l := &letter{label: label{name, n}, id: fmt.Sprintf("%s-%d", name, n), to: []string{fmt.Sprintf("user:u%d", random.IntN(movers/2))}}
		switch random.IntN(50) {
		case 0:
			l.to = []string{"*"}
		case 1, 2:
			l.to = []string{fmt.Sprintf("room:r%d", random.IntN(7))}
		}
		for !publish(l) {
			time.Sleep(20 * time.Millisecond)
		}
		s.mu.Lock()
		s.letters[l.label] = l
		s.mu.Unlock()
	}
}

func (s *services) overHTTP(l *letter) bool {
	a, err := s.c.post("orders", l.json())
	return err == nil && a.status == 202
}

func (s *services) onBus(p *fanfare.Publisher, l *letter) bool {
	data, _ := json.Marshal(l.data()) // maps of strings can be encoded
	_, err := p.Publish(context.Background(), "orders", fanfare.Message{ID: l.id, To: l.to, Type: "test.letter", Data: json.RawMessage(data)})
	return err == nil
}

func (s *services) end() {
	select {
	case <-s.quit:
	default:
		close(s.quit)
	}
	s.work.Wait()
}

// stop ends the publishing with a last letter to everyone, and returns all.
func (s *services) stop() map[label]*letter {
	s.end()
	last := &letter{label: label{"last", 1}, to: []string{"*"}, id: "last"}
	s.c.mustPost(s.c.t, last)
	s.letters[last.label] = last
	return s.letters
}
