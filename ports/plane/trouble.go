package plane

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// troubleAfter is how long the topic has to fail, while the bus answers, until that is
// said: an answer may come late now and then. A refusal is said at once.
const troubleAfter = 3 * time.Second

// What is said of a topic that cannot be used. The words end in what an operator may do.
const (
	readTrouble = "the control topic cannot be read: what other nodes say of blocks, disconnects, members " +
		"and presence does not come here; let this node read the topic (docs/transports.md, The control topic), " +
		"or set control.disabled"
	writeTrouble = "the control topic cannot be written: other nodes do not hear what this one says of blocks, " +
		"disconnects, members and presence; let this node write the topic (docs/transports.md, The control topic), " +
		"or set control.disabled"
	eventTrouble = "events of a system cannot be published; let this node write the topic " +
		"(docs/transports.md, The control topic), or take the system out of the setting events"
)

// A trouble is what is known of one use of the topic that fails again and again. It logs the
// first failure of a row, and that the row is over. While the bus is down it says nothing,
// since others do. It is safe for concurrent use.
type trouble struct {
	log   *slog.Logger
	topic string
	what  string

	mu      sync.Mutex
	busDown bool
	since   time.Time // when the row of failures began; zero if the last try was good
	said    bool      // the row was logged
	failed  uint64    // failures in all
}

func newTrouble(log *slog.Logger, topic, what string) *trouble {
	return &trouble{log: log, topic: topic, what: what}
}

// note takes the outcome of a try.
func (t *trouble) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		if t.said {
			t.log.Info("the topic works again", "topic", t.topic)
		}
		t.since, t.said = time.Time{}, false
		return
	}
	t.failed++
	now := time.Now()
	if t.since.IsZero() {
		t.since = now
	}
	if t.said || t.busDown || !isRefusal(err) && now.Sub(t.since) < troubleAfter {
		return
	}
	t.said = true
	t.log.Warn(t.what, "topic", t.topic, "error", err)
}

// setBusUp begins a new row when the bus comes back: what failed before says nothing.
func (t *trouble) setBusUp(up bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if up && t.busDown && !t.said {
		t.since = time.Time{}
	}
	t.busDown = !up
}

// text returns what is wrong; "" if nothing is that an operator should know.
func (t *trouble) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said && !t.busDown {
		return t.what
	}
	return ""
}

func (t *trouble) failures() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// isRefusal reports whether the bus has certainly not taken something, and will not take it
// the next time either unless somebody does something about it.
func isRefusal(err error) bool {
	return errors.Is(err, domain.ErrBusRefused) || errors.Is(err, domain.ErrInvalid) ||
		errors.Is(err, domain.ErrTooLarge)
}

// lasts reports whether the row of failures is at least as long as d.
func (t *trouble) lasts(d time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.since.IsZero() && time.Since(t.since) >= d
}
