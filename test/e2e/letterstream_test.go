package e2e_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A letterStream publishes letters over HTTP, one after the other. As a careful
// publisher does, it gives each an id and repeats it until it is accepted.
type letterStream struct {
	c      *cluster
	letter func(n int) *letter
	pace   time.Duration // between letters, if there is time
	quit   chan struct{}
	done   chan struct{}

	refused atomic.Int64 // attempts

	mu      sync.Mutex
	letters []*letter // accepted; guarded by mu
}

func startStream(c *cluster, to string) *letterStream {
	return startPaced(c, 0, func(n int) *letter {
		l := &letter{to: []string{fmt.Sprintf(to, n%40)}}
		if n%10 == 0 {
			l.to = []string{"*"}
		}
		return l
	})
}

// startPaced publishes a letter once per pace. If nothing was accepted for a while,
// the letters that are late follow as fast as possible.
func startPaced(c *cluster, pace time.Duration, compose func(n int) *letter) *letterStream {
	s := &letterStream{c: c, pace: pace, letter: compose, quit: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	c.t.Cleanup(s.end)
	return s
}

func (s *letterStream) run() {
	defer close(s.done)
	begun := time.Now()
	for n := 1; s.wait(begun.Add(time.Duration(n) * s.pace)); n++ {
		l := s.letter(n)
		l.label, l.id = label{"stream", n}, fmt.Sprintf("stream-%d", n)
		if !s.publish(l) {
			return
		}
		s.mu.Lock()
		s.letters = append(s.letters, l)
		s.mu.Unlock()
	}
}

// wait waits until the given time, and reports whether the stream has not ended.
func (s *letterStream) wait(until time.Time) bool {
	if s.over() {
		return false
	}
	select {
	case <-time.After(time.Until(until)):
		return true
	case <-s.quit:
		return false
	}
}

// publish tries until the letter is accepted, and says whether it was.
func (s *letterStream) publish(l *letter) bool {
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		if a, err := s.c.post("orders", l.json()); err == nil && a.status == http.StatusAccepted {
			return true
		}
		s.refused.Add(1)
		select {
		case <-pause.C:
		case <-s.quit:
			return false
		}
	}
}

func (s *letterStream) over() bool {
	select {
	case <-s.quit:
		return true
	default:
		return false
	}
}

func (s *letterStream) sent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.letters)
}

// waitFor waits until so many letters were accepted.
func (s *letterStream) waitFor(n int) {
	s.c.t.Helper()
	eventually(s.c.t, 60*time.Second, fmt.Sprintf("%d letters are accepted", n), func() error {
		if got := s.sent(); got < n {
			return fmt.Errorf("%d are", got)
		}
		return nil
	})
}

func (s *letterStream) end() {
	if !s.over() {
		close(s.quit)
	}
	<-s.done
}

// stop ends the stream with a last letter to everyone, waits until all
// sessions have it, closes them, and returns what was published.
func (s *letterStream) stop(t *testing.T, k *clients) map[label]*letter {
	t.Helper()
	s.end()
	last := &letter{label: label{"last", 1}, to: []string{"*"}, id: "last"}
	letters := map[label]*letter{last.label: last}
	for _, l := range s.letters {
		letters[l.label] = l
	}
	s.c.mustPost(t, last)
	k.hear(t, 60*time.Second, last.label)
	k.finish()
	return letters
}
