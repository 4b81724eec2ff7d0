package transport

import (
	"context"
	"log/slog"
	"sync"
)

// A Fault is a property of what a broker has for a topic, told by what it
// causes.
type Fault struct {
	// Level is how bad it is: Error for what cannot work.
	Level slog.Level
	Text  string
}

// An Inspector logs the faults of topics, once, and again when they have
// changed. It is safe for concurrent use.
type Inspector struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]string // by topic; guarded by mu
}

// maxInspected is of how many topics an Inspector knows what it has told.
const maxInspected = 4096

// NewInspector returns an Inspector that has told nothing yet.
func NewInspector(log *slog.Logger) *Inspector {
	return &Inspector{log: log, told: make(map[string]string)}
}

// Inspect tells what is to be said about a topic, which the broker keeps under a
// name. It says whether that differs from what was told last.
func (i *Inspector) Inspect(topic, name string, faults []Fault) (changed bool) {
	text := name
	for _, f := range faults {
		text += "\n" + f.Text
	}
	before, changed := i.note(topic, text)
	if !changed {
		return false
	}
	for _, f := range faults {
		i.log.Log(context.Background(), f.Level, "what the broker has for a topic: "+f.Text, "topic", topic, "name", name)
	}
	if before != "" && len(faults) == 0 {
		i.log.Info("what the broker has for a topic is good now", "topic", topic, "name", name)
	}
	return true
}

func (i *Inspector) note(topic, text string) (before string, changed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if before = i.told[topic]; before == text {
		return before, false
	}
	if len(i.told) >= maxInspected {
		clear(i.told)
	}
	i.told[topic] = text
	return before, true
}
