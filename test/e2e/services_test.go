package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare"
)

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
