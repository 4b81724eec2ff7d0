package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/internal/pipes"
)

// A node is a fanfare.Node with its server. Its methods are for anybody.
type node struct {
	w      *world
	name   string
	rnd    *rand.Rand
	free   chan struct{} // holds a token while nobody starts or stops it
	bus    string        // URLs
	listen *pipes.Listener
	server *http.Server
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// newNode starts a node on the world's first bus.
func newNode(w *world, i int) *node {
	n := &node{w: w, name: fmt.Sprint("n", i), rnd: w.rnd, bus: oldBus, free: make(chan struct{}, 1)}
	if w.cfg.Moves { // it is not the world's goroutine alone that starts nodes
		n.rnd = rand.New(rand.NewPCG(w.cfg.Seed, uint64(10+i)))
	}
	n.start()
	n.free <- struct{}{}
	return n
}

// restart ends the node, at once and with nobody told or as a deployment does,
// and starts it again, on another bus if one is named.
func (n *node) restart(crash bool, away time.Duration, bus string) {
	<-n.free
	if crash {
		n.listen.Cut()
	}
	n.stop()
	time.Sleep(away)
	if bus != "" {
		n.bus = bus
	}
	n.start()
	n.free <- struct{}{}
}

// end ends it for good.
func (n *node) end() {
	<-n.free
	n.listen.Cut()
	n.stop()
}

func (n *node) start() {
	ctx, cancel := context.WithCancel(context.Background())
	cfg := fanfare.Config{
		Node: n.name, Dev: true, Systems: n.w.systems, Drain: time.Second, Transport: n.bus,
		Window: fanfare.WindowConfig{Messages: 10 + n.rnd.IntN(40), Age: 5 * time.Minute},
		Limits: fanfare.LimitsConfig{SessionsPerUser: 1000, MessageBytes: 1 << 10, OutboxBytes: 2 << 10},
	}
	if n.w.cfg.Lossy {
		cfg.Dedupe.Age = dedupeAge
	}
	if n.w.cfg.Seed%2 == 1 && !n.w.cfg.Moves { // logs are read again in several turns, and slow readers get off
		cfg.Resume = fanfare.ResumeConfig{MaxScan: 100, Bytes: 4 << 10}
	}
	if n.w.cfg.Calm {
		cfg.Window.Messages = 1000
	}
	g, err := fanfare.New(ctx, cfg, n.w.openers())
	if err != nil {
		n.w.fault("start %s: %v", n.name, err)
		cancel()
		return
	}
	n.cancel = cancel
	n.listen = n.w.net.Listen(n.name)
	n.server = &http.Server{Handler: g, ErrorLog: nil}
	n.done.Go(func() { _ = n.server.Serve(n.listen) })
	n.done.Go(func() {
		if err := g.Run(ctx); err != nil {
			n.w.fault("%s ended: %v", n.name, err)
		}
	})
}

// stop lets the node drain.
func (n *node) stop() {
	n.cancel()
	_ = n.server.Close()
	n.done.Wait()
}
