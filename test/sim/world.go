package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

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
	Moves    bool // the bus is moved to another one
	Trace    bool // tell with a fault all that the client was told
}

// A world is one run.
type world struct {
	cfg     Config
	rnd     *rand.Rand
	keep    memory.Config
	bus     *faulty.Bus
	next    *faulty.Bus // what the world moves to, if it moves
	mover   *mover
	net     *pipes.Network
	nodes   []*node
	clients []*client
	authors []*author // the last one is foreign
	systems []string

	loses    bool     // whether the bus loses anything, ever
	happened []string // for the trace
	number   int      // of the newest message

	mu       sync.Mutex
	faults   []string         // guarded by mu
	moved    int              // guarded by mu
	accepted map[string][]int // by system: the numbers that are sure to be on the bus; guarded by mu
}

// A Result is what became of a world.
type Result struct {
	Faults []string // everything that was wrong
	Moved  int      // how often a client resumed on another node than it had been on
}

// Run runs a world to its end. It must be called in a synctest bubble.
func Run(cfg Config) Result {
	rnd := rand.New(rand.NewPCG(cfg.Seed, 1))
	w := &world{
		cfg: cfg, rnd: rnd, net: pipes.New(), systems: []string{"orders", "chat"},
		accepted: make(map[string][]int),
	}
	// Half the worlds have a log that is trimmed while clients are away.
	w.keep = memory.Config{Messages: 100_000}
	if rnd.IntN(2) == 0 && !cfg.Moves {
		w.keep.Messages = 20 + rnd.IntN(200)
	}
	w.bus = faulty.New(faulty.Config{Memory: w.keep, Lossy: cfg.Lossy, Rand: rand.New(rand.NewPCG(cfg.Seed, 2))})
	if cfg.Moves {
		w.next = faulty.New(faulty.Config{Memory: w.keep, Rand: rand.New(rand.NewPCG(cfg.Seed, 3))})
		w.mover = &mover{w: w, rnd: rand.New(rand.NewPCG(cfg.Seed, 4)), bridge: make(chan *bridge, 1)}
	}
	w.setAll(func(f *faulty.Faults) {
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
		w.nodes = append(w.nodes, newNode(w, i))
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
		n.end()
	}
	w.judge()
	w.close()
	return Result{Faults: w.faults, Moved: w.moved}
}

func (w *world) client(i int) *client {
	c := &client{
		w: w, rnd: rand.New(rand.NewPCG(w.cfg.Seed, uint64(100+i))), user: fmt.Sprint("u", i/2),
		cursors: make(map[string]string), node: make(map[string]string),
		events: make(map[string][]event), rooms: make(map[string][]string),
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
	for i := range 4 {
		a := &author{w: w, foreign: i == 3}
		a.open(oldBus)
		defer a.end()
		w.authors = append(w.authors, a)
	}
	defer func() { time.Sleep(5 * time.Second) }() // for the last marks of a lossy bus
	var publishing sync.WaitGroup
	defer publishing.Wait()
	over := make(chan struct{})
	if w.cfg.Moves {
		serving, end := context.WithCancel(ctx)
		defer end()
		for k := range services {
			publishing.Go(func() { w.serve(serving, k) })
		}
		publishing.Go(func() { defer close(over); w.mover.move(ctx) })
	} else {
		close(over)
	}
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
	for w.number < w.cfg.Messages || !isClosed(over) {
		if w.number >= early && come != nil {
			time.Sleep(time.Duration(early) * 50 * time.Millisecond) // until the nodes have heard them
			come()
			come = nil
		}
		time.Sleep(time.Duration(w.rnd.IntN(w.pace())) * time.Millisecond)
		for range 1 + w.rnd.IntN(5) {
			publishing.Go(w.publish(ctx))
		}
		if come == nil && w.rnd.IntN(often) == 0 {
			w.happen()
		}
	}
}

// publish returns what publishes the next message.
func (w *world) publish(ctx context.Context) func() {
	w.number++
	by := w.authors[w.rnd.IntN(len(w.authors)-1)]
	system := w.systems[w.rnd.IntN(len(w.systems))]
	l := letter{n: w.number, system: system, id: fmt.Sprint("m", w.number), to: w.targets()}
	if w.rnd.IntN(20) == 0 {
		l.id = fmt.Sprint("m", w.number-1) // somebody's mistake: an id that has other content
	}
	if w.rnd.IntN(4) == 0 {
		by = w.authors[len(w.authors)-1]
	}
	return by.publish(ctx, l)
}

// pace is about how many milliseconds there are between two messages. A world
// that moves takes its time, but for the moment that counts.
func (w *world) pace() int {
	switch {
	case !w.cfg.Moves:
		return 60
	case w.mover.marks.Load():
		return 15
	}
	return 600
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// accept notes that a letter is sure to be on the bus.
func (w *world) accept(l letter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accepted[l.system] = append(w.accepted[l.system], l.n)
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
	bus := w.bus
	if w.cfg.Moves && w.rnd.IntN(2) == 0 {
		bus = w.next
	}
	kinds := 12
	if w.cfg.Moves {
		kinds = 16
	}
	what := w.rnd.IntN(kinds)
	if w.cfg.Lossy && w.rnd.IntN(2) == 0 {
		what = 0 // to move from node to node is what matters there
	}
	if w.cfg.Calm {
		what = []int{0, 1, 2, 9, 11, 13, 15}[w.rnd.IntN(5+2*(kinds/16))]
	}
	if w.cfg.Moves && w.mover.marks.Load() && what != 13 {
		what = 0 // whatever takes longer is over before or after it
	}
	w.happened = append(w.happened, fmt.Sprintf("%d@orders%d,chat%d", what,
		len(w.carried("fanfare.orders")), len(w.carried("fanfare.chat"))))
	switch what {
	case 0, 1, 2:
		if cut := someone.cut.Load(); cut != nil {
			(*cut)()
		}
	case 3:
		someone.silent.Store(int64(w.rnd.IntN(30)) * int64(time.Second))
	case 4:
		bus.Interrupt()
	case 5:
		bus.Set(func(f *faulty.Faults) { f.Down = true })
		time.Sleep(time.Duration(w.rnd.IntN(5000)) * time.Millisecond)
		bus.Set(func(f *faulty.Faults) { f.Down = false })
	case 6:
		n.restart(true, time.Duration(w.rnd.IntN(2000))*time.Millisecond, "")
	case 7:
		n.restart(false, 0, "")
	case 8:
		if w.rnd.IntN(3) == 0 && !w.cfg.Moves {
			bus.Forget()
		}
	case 9:
		bus.Set(func(f *faulty.Faults) { f.Late = time.Duration(w.rnd.IntN(100)) * time.Millisecond })
	case 10:
		step := time.Duration(w.rnd.IntN(120)-60) * time.Second
		if w.cfg.Moves {
			step /= 4 // the clocks of two buses agree to within a minute
		}
		bus.Set(func(f *faulty.Faults) { f.Step = step })
	case 11:
		idle := time.Duration(w.rnd.IntN(15)) * time.Minute
		if w.cfg.Moves {
			idle /= 5 // or the move is over
		}
		time.Sleep(idle)
	case 12, 13:
		w.mover.crash(time.Duration(w.rnd.IntN(5000))*time.Millisecond, w.rnd.IntN(3) == 0)
	case 14, 15:
		someone.away.Store(int64(w.rnd.IntN(120)) * int64(time.Second))
		if cut := someone.cut.Load(); cut != nil {
			(*cut)()
		}
	}
}

// heal ends all trouble and waits until everybody must have everything.
func (w *world) heal() {
	w.setAll(func(f *faulty.Faults) { f.Down, f.Late, f.Loss = false, 0, 0 })
	for _, c := range w.clients {
		c.slow.Store(0)
	}
	time.Sleep(3 * time.Minute)
}

// all opens the buses by URL.
func (w *world) all() transport.Openers {
	open := func(bus *faulty.Bus) transport.Opener {
		return func(context.Context, *url.URL, *slog.Logger) (transport.Driver, error) {
			return bus.Link().Driver(), nil
		}
	}
	return transport.Openers{"old": open(w.bus), "new": open(w.next)}
}

func (w *world) openers() fanfare.Option { return fanfare.WithOpeners(w.all()) }

func (w *world) setAll(change func(*faulty.Faults)) {
	w.bus.Set(change)
	if w.next != nil {
		w.next.Set(change)
	}
}

func (w *world) close() {
	_ = w.bus.Close() // never fails
	if w.next != nil {
		_ = w.next.Close()
	}
}

// judge judges what publishers and clients were told.
func (w *world) judge() {
	for _, s := range w.systems {
		for _, f := range checkPublished(w.carried("fanfare."+s), w.accepted[s]) {
			w.fault("publishers in %s: %s", s, f)
		}
	}
	for i, c := range w.clients {
		for _, s := range c.systems {
			mine := func(target string) bool {
				room, isRoom := strings.CutPrefix(target, "room:")
				return target == "*" || target == "user:"+c.user || isRoom && slices.Contains(c.rooms[s], room)
			}
			kind := bus{lossy: w.cfg.Lossy, late: w.loses, short: w.keep.Messages < 1000, calm: w.cfg.Calm}
			wrong := check(w.carried("fanfare."+s), c.events[s], kind, mine)
			for _, f := range wrong {
				w.fault("client %d (%s) in %s: %s", i, c.user, s, f)
			}
			if w.cfg.Trace && len(wrong) > 0 {
				w.fault("client %d (%s) in %s was told: %v", i, c.user, s, c.events[s])
				var wire []string
				for _, p := range w.carried("fanfare." + s) {
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
