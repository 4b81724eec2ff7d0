package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
)

// The buses by URL, as nodes, publishers and the bridge are given them.
const (
	oldBus = "old://bus"
	newBus = "new://bus"
)

// carried returns what nodes hear of a topic, in its order: the old bus up to
// the mark, then the new one from the mark's copy on.
func (w *world) carried(topic string) (all [][]byte) {
	isMark := func(m *message.Message) bool { return m.Metadata["fanfare.move"] == "leave" }
	heard := w.bus.Carried(topic)
	if mark := slices.IndexFunc(heard, isMark); mark >= 0 {
		heard = heard[:mark:mark]
		next := w.next.Carried(topic)
		if arrived := slices.IndexFunc(next, isMark); arrived >= 0 {
			heard = append(heard, next[arrived+1:]...)
		}
	}
	for _, m := range heard {
		all = append(all, m.Payload)
	}
	return all
}

// A mover moves a world's bus as docs/moving.md says, while all else goes on.
type mover struct {
	w      *world
	rnd    *rand.Rand
	marks  atomic.Bool  // the new bus is about to take over
	bridge chan *bridge // holds the one there is, or nil; empty while somebody has it in hand
}

// A bridge is a `fanfare bridge` that runs.
type bridge struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// lastTry is how long an author tries at most to publish a message, and a little
// more, so that it has been copied.
const lastTry = 40 * time.Second

// move moves everything, in its own time.
func (m *mover) move(ctx context.Context) {
	m.pause(2000)
	m.bridge <- m.start()
	m.restart(oldBus + " " + newBus)
	m.marks.Store(true)
	for m.leave(ctx) != nil {
		m.pause(3000)
	}
	m.pause(500)
	m.marks.Store(false)
	for _, a := range m.w.authors {
		m.pause(2000)
		a.open(newBus)
	}
	time.Sleep(lastTry)
	m.restart(newBus)
	m.end(<-m.bridge)
	m.bridge <- nil
	m.w.bus.Set(func(f *faulty.Faults) { f.Down = true }) // nobody needs it
}

func (m *mover) pause(most int) { time.Sleep(time.Duration(m.rnd.IntN(most)) * time.Millisecond) }

// restart gives the nodes other buses, one by one.
func (m *mover) restart(transport string) {
	for _, n := range m.w.nodes {
		m.pause(2000)
		n.restart(m.rnd.IntN(2) == 0, 0, transport)
	}
}

// leave is `fanfare move`, which may be interrupted.
func (m *mover) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(100+m.rnd.IntN(20_000))*time.Millisecond)
	defer cancel()
	return m.relocate(ctx, func(r *fanfare.Migration) error { return r.Move(ctx, func(string) {}) })
}

func (m *mover) relocate(ctx context.Context, do func(*fanfare.Migration) error) error {
	cfg := fanfare.MigrationConfig{From: oldBus, To: newBus, Systems: m.w.systems}
	r, err := fanfare.NewMigration(ctx, cfg, m.w.openers())
	if err != nil {
		m.w.fault("%v", err)
		return err
	}
	err = errors.Join(do(r), r.Close())
	if errors.Is(err, fanfare.ErrNotACopy) {
		m.w.fault("%v", err)
	}
	return err
}

// start starts a bridge.
func (m *mover) start() *bridge {
	ctx, cancel := context.WithCancel(context.Background())
	b := &bridge{cancel, make(chan struct{})}
	go func() {
		defer close(b.ended)
		if err := m.relocate(ctx, func(r *fanfare.Migration) error { return r.Bridge(ctx) }); err != nil {
			m.w.fault("the bridge ended: %v", err)
		}
	}()
	return b
}

// end ends the bridge, if there is one.
func (m *mover) end(b *bridge) {
	if b != nil {
		b.cancel()
		<-b.ended
	}
}

// crash lets the bridge be away for a while, if there is one; or there is another
// one beside it for that long, as somebody's mistake.
func (m *mover) crash(away time.Duration, two bool) {
	select {
	case b := <-m.bridge:
		switch {
		case b == nil:
		case two:
			other := m.start()
			time.Sleep(away)
			m.end(b)
			b = other
		default:
			m.end(b)
			time.Sleep(away)
			b = m.start()
		}
		m.bridge <- b
	default: // there was none yet
	}
}
