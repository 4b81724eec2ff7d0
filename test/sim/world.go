package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
	"github.com/fanfarebus/fanfare/test/internal/pipes"
)

// A Config says what a world is like.
type Config struct {
	Seed     uint64
	Nodes    int
	Clients  int
	Messages int  // published in all
	Lossy    bool // a bus without a log
	Calm     bool // nothing goes wrong but connections of clients
	Trace    bool // tell with a fault all that the client was told
}

// A world is one run.
type world struct {
	cfg     Config
	rnd     *rand.Rand
	keep    memory.Config
	bus     *faulty.Bus
	net     *pipes.Network
	nodes   []*node
	clients []*client
	systems []string

	loses    bool     // whether the bus loses anything, ever
	happened []string // for the trace
	number   int      // of the newest message

	mu     sync.Mutex
	faults []string // guarded by mu
	moved  int      // guarded by mu
}

// A Result is what became of a world.
type Result struct {
	Faults []string // everything that was wrong
	Moved  int      // how often a client resumed on another node than it had been on
}

// Run runs a world to its end. It must be called in a synctest bubble.
func Run(cfg Config) Result {
	rnd := rand.New(rand.NewPCG(cfg.Seed, 1))
	w := &world{cfg: cfg, rnd: rnd, net: pipes.New(), systems: []string{"orders", "chat"}}
	// Half the worlds have a log that is trimmed while clients are away.
	w.keep = memory.Config{Messages: 100_000}
	if rnd.IntN(2) == 0 {
		w.keep.Messages = 20 + rnd.IntN(200)
	}
	w.bus = faulty.New(faulty.Config{Memory: w.keep, Lossy: cfg.Lossy, Rand: rand.New(rand.NewPCG(cfg.Seed, 2))})
	w.bus.Set(func(f *faulty.Faults) {
		f.Late = time.Duration(rnd.IntN(20)) * time.Millisecond
		f.LostAnswers = 50
		if cfg.Lossy {
			f.LostAnswers = 10 // so that nodes hear different ones of a message's copies
			f.Loss = []float64{0, 0.005, 0.03}[rnd.IntN(3)]
		}
		if cfg.Calm {
			f.Loss = 0
		}
		w.loses = f.Loss > 0
	})
	ctx, end := context.WithCancel(context.Background())
	defer end()
	for i := range cfg.Nodes {
		w.nodes = append(w.nodes, &node{w: w, name: fmt.Sprint("n", i)})
		w.nodes[i].start()
	}
	var people sync.WaitGroup
	come := func() {
		for i := range cfg.Clients {
			c := w.client(i)
			w.clients = append(w.clients, c)
			people.Go(func() { c.run(ctx) })
		}
	}
	w.live(ctx, come)
	w.heal()
	end()
	people.Wait()
	for _, n := range w.nodes {
		n.crash()
	}
	w.judge()
	w.bus.Close()
	return Result{Faults: w.faults, Moved: w.moved}
}

func (w *world) client(i int) *client {
	c := &client{
		w: w, rnd: rand.New(rand.NewPCG(w.cfg.Seed, uint64(100+i))), user: fmt.Sprint("u", i/2),
		cursors: make(map[string]string), node: make(map[string]string), events: make(map[string][]event), rooms: make(map[string][]string),
	}
	c.systems = w.systems
	if c.rnd.IntN(3) == 0 {
		c.systems = w.systems[:1]
	}
	if slices.Contains(c.systems, "chat") && c.rnd.IntN(2) == 0 {
		c.rooms["chat"] = []string{"lobby"}
	}
	if c.rnd.IntN(4) == 0 {
		c.slow.Store(int64(c.rnd.IntN(300)) * int64(time.Millisecond))
	}
	return c
}

// count counts clients that moved.
func (w *world) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moved += n
}

// fault writes down that something is wrong.
func (w *world) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// dedupeAge is for how long nodes recognise repetitions where there is no log:
// as long as a publisher tries.
const dedupeAge = 30 * time.Second

// live publishes, and lets things happen. Sooner or later the clients come.
func (w *world) live(ctx context.Context, come func()) {
	var own []*fanfare.Publisher
	for range 3 {
		p, err := fanfare.NewPublisher(ctx, "", "", fanfare.WithDriver(w.bus.Link().Driver()))
		if err != nil {
			w.fault("%v", err)
			return
		}
		defer p.Close()
		own = append(own, p)
	}
	foreign := transport.New(w.bus.Link().Driver(), transport.Config{NoStamps: true})
	defer foreign.Close()
	defer func() { time.Sleep(5 * time.Second) }() // for the last marks of a lossy bus
	var publishing sync.WaitGroup
	defer publishing.Wait()
	// On a lossy bus a place is known to other nodes when there was a message, and
	// to those that have been there for a while.
	early := 0
	if w.cfg.Lossy && w.rnd.IntN(2) == 0 || w.cfg.Calm {
		time.Sleep(2 * dedupeAge)
		early = 20
	}
	often := 8
	if w.cfg.Lossy {
		often = 3
	}
	for w.number < w.cfg.Messages {
		if w.number >= early && come != nil {
			time.Sleep(time.Duration(early) * 50 * time.Millisecond) // until the nodes have heard them
			come()
			come = nil
		}
		time.Sleep(time.Duration(w.rnd.IntN(60)) * time.Millisecond)
		for range 1 + w.rnd.IntN(5) {
			publishing.Go(w.publish(ctx, own[w.rnd.IntN(len(own))], foreign))
		}
		if come == nil && w.rnd.IntN(often) == 0 {
			w.happen()
		}
	}
}

// publish returns what publishes the next message, with its id until it is
// sure to be on the bus; or, for a foreign publisher, once and without an id.
func (w *world) publish(ctx context.Context, own *fanfare.Publisher, foreign *transport.Transport) func() {
	w.number++
	system := w.systems[w.rnd.IntN(len(w.systems))]
	data := json.RawMessage(fmt.Sprintf(`{"n":%d}`, w.number))
	id, to := fmt.Sprint("m", w.number), w.targets()
	if w.rnd.IntN(20) == 0 {
		id = fmt.Sprint("m", w.number-1) // somebody's mistake: an id that has other content
	}
	if w.rnd.IntN(4) == 0 {
		list, _ := json.Marshal(to)
		payload := fmt.Appendf(nil, `{"to":%s,"data":%s}`, list, data)
		return func() {
			m := message.NewMessage("", payload)
			m.Metadata.Set(transport.RawKey, "1")
			_ = foreign.PublishContext(ctx, "fanfare."+system, m)
		}
	}
	return func() {
		for range 20 {
			_, err := own.Publish(ctx, system, fanfare.Message{ID: id, To: to, Data: data})
			if !errors.Is(err, fanfare.ErrBusDown) {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

func (w *world) targets() []string {
	user := func() string { return fmt.Sprint("user:u", w.rnd.IntN(w.cfg.Clients/2+2)) }
	switch w.rnd.IntN(6) {
	case 0:
		return []string{"*"}
	case 1:
		return []string{"room:lobby"}
	case 2:
		return []string{user(), "room:lobby", user()}
	}
	return []string{user()}
}

// happen lets one thing go wrong.
func (w *world) happen() {
	someone := w.clients[w.rnd.IntN(len(w.clients))]
	n := w.nodes[w.rnd.IntN(len(w.nodes))]
	what := w.rnd.IntN(12)
	if w.cfg.Lossy && w.rnd.IntN(2) == 0 {
		what = 0 // to move from node to node is what matters there
	}
	if w.cfg.Calm {
		what = []int{0, 1, 2, 9, 11}[w.rnd.IntN(5)]
	}
	w.happened = append(w.happened, fmt.Sprintf("%d@orders%d,chat%d", what,
		len(w.bus.Carried("fanfare.orders")), len(w.bus.Carried("fanfare.chat"))))
	switch what {
	case 0, 1, 2:
		if cut := someone.cut.Load(); cut != nil {
			(*cut)()
		}
	case 3:
		someone.silent.Store(int64(w.rnd.IntN(30)) * int64(time.Second))
	case 4:
		w.bus.Interrupt()
	case 5:
		w.bus.Set(func(f *faulty.Faults) { f.Down = true })
		time.Sleep(time.Duration(w.rnd.IntN(5000)) * time.Millisecond)
		w.bus.Set(func(f *faulty.Faults) { f.Down = false })
	case 6:
		n.crash()
		time.Sleep(time.Duration(w.rnd.IntN(2000)) * time.Millisecond)
		n.start()
	case 7:
		n.stop()
		n.start()
	case 8:
		if w.rnd.IntN(3) == 0 {
			w.bus.Forget()
		}
	case 9:
		w.bus.Set(func(f *faulty.Faults) { f.Late = time.Duration(w.rnd.IntN(100)) * time.Millisecond })
	case 10:
		w.bus.Set(func(f *faulty.Faults) { f.Step = time.Duration(w.rnd.IntN(120)-60) * time.Second })
	case 11:
		time.Sleep(time.Duration(w.rnd.IntN(15)) * time.Minute) // everybody is idle
	}
}

// heal ends all trouble and waits until everybody must have everything.
func (w *world) heal() {
	w.bus.Set(func(f *faulty.Faults) { f.Down, f.Late, f.Loss = false, 0, 0 })
	for _, c := range w.clients {
		c.slow.Store(0)
	}
	time.Sleep(3 * time.Minute)
}

func (w *world) judge() {
	for i, c := range w.clients {
		for _, s := range c.systems {
			mine := func(target string) bool {
				room, isRoom := strings.CutPrefix(target, "room:")
				return target == "*" || target == "user:"+c.user || isRoom && slices.Contains(c.rooms[s], room)
			}
			kind := bus{lossy: w.cfg.Lossy, late: w.loses, short: w.keep.Messages < 1000, calm: w.cfg.Calm}
			wrong := check(w.bus.Carried("fanfare."+s), c.events[s], kind, mine)
			for _, f := range wrong {
				w.fault("client %d (%s) in %s: %s", i, c.user, s, f)
			}
			if w.cfg.Trace && len(wrong) > 0 {
				w.fault("client %d (%s) in %s was told: %v", i, c.user, s, c.events[s])
				var wire []string
				for _, p := range w.bus.Carried("fanfare." + s) {
					wire = append(wire, string(p))
				}
				w.fault("the bus carried in %s: %s; and happened: %v", s, strings.Join(wire, " "), w.happened)
			}
			if len(c.events[s]) == 0 {
				w.fault("client %d (%s) never got into %s", i, c.user, s)
			}
		}
	}
}
