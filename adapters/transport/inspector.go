package transport

import (
	"context"
	"log/slog"
	"sync"
)

// A Fault is something wrong with what a broker has for a topic, such as a setting
// of its log.
type Fault struct {
	// Level is how bad it is: Error for what cannot work.
	Level slog.Level
	// Text says what is wrong, and what it causes.
	Text string
}

// An Inspector logs the faults of topics: once, and again when they have changed.
// Drivers that check what the broker has for a topic use it. It is safe for
// concurrent use.
type Inspector struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]string // what was last logged, by topic; guarded by mu
}

// maxInspected is of how many topics an Inspector remembers what it has logged.
const maxInspected = 4096

// NewInspector returns an Inspector that has logged nothing yet.
func NewInspector(log *slog.Logger) *Inspector {
	return &Inspector{log: log, told: make(map[string]string)}
}

// Inspect logs the faults of a topic, which the broker keeps under a name, if they
// differ from those that were logged last. It says whether they do.
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
		i.log.Log(context.Background(), f.Level, "what the broker has for a topic: "+f.Text,
			"topic", topic, "name", name)
	}
	if before != "" && len(faults) == 0 {
		i.log.Info("what the broker has for a topic is good now", "topic", topic, "name", name)
	}
	return true
}

// note remembers what is told about a topic, and returns what was told before.
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
