package sim

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/internal/pipes"
)

// A node is a fanfare.Gateway with its server.
type node struct {
	w      *world
	name   string
	listen *pipes.Listener
	server *http.Server
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func (n *node) start() {
	ctx, cancel := context.WithCancel(context.Background())
	cfg := fanfare.Config{
		Node: n.name, Dev: true, Systems: n.w.systems, Drain: time.Second,
		Window: fanfare.WindowConfig{Messages: 10 + n.w.rnd.IntN(40), Age: 5 * time.Minute},
		Limits: fanfare.LimitsConfig{SessionsPerUser: 1000, MessageBytes: 1 << 10, OutboxBytes: 2 << 10},
	}
	if n.w.cfg.Lossy {
		cfg.Dedupe.Age = dedupeAge
	}
	if n.w.cfg.Calm {
		cfg.Window.Messages = 1000
	}
	g, err := fanfare.New(ctx, cfg, fanfare.WithDriver(n.w.bus.Link().Driver()))
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

// crash takes the node away at once: nobody is told anything.
func (n *node) crash() {
	n.listen.Cut()
	n.stop()
}

// stop lets the node drain.
func (n *node) stop() {
	n.cancel()
	_ = n.server.Close()
	n.done.Wait()
}
