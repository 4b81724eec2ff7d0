// Package seam is an example of a page that shows a state and keeps it up to date with
// messages, and misses no change between the two. README.md says how.
package seam

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare"
)

// System is the system in which changes are published.
const System = "board"

// A Publish publishes messages in [System], and returns once the bus has them: as Publish of
// [fanfare.Publisher] or [fanfare.Node] does.
type Publish func(ctx context.Context, msgs ...fanfare.Message) error

// An Item is one line of the board.
type Item struct {
	Name    string `json:"name"`
	Version int    `json:"version"` // of two versions of an item the greater one is newer
	Value   string `json:"value"`
}

// A Board is the state of the service. It is safe for concurrent use.
type Board struct {
	push Publish
	run  string // tells this run of the service from others

	mu      sync.Mutex
	version int             // guarded by mu
	items   map[string]Item // by name; guarded by mu
}

// New returns an empty board, whose changes are published through push.
func New(push Publish) *Board {
	return &Board{push: push, run: rand.Text(), items: make(map[string]Item)}
}

// Set changes items, whose versions it chooses. First it writes the state, and then it
// publishes the messages: whoever has read the state after a message was there finds the
// change in it. While the outcome of publishing is unknown it tries again, until ctx ends.
// After an error the changes are in the state, and pages may not have been told: set the items
// again.
func (b *Board) Set(ctx context.Context, items ...Item) error {
	changes := make([]fanfare.Message, len(items))
	for i, item := range b.write(items) {
		changes[i] = fanfare.Message{
			ID: fmt.Sprint(b.run, "-", item.Version), // so that publishing it again is safe
			To: []string{"*"}, Type: "board.changed", Data: item,
		}
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := b.push(ctx, changes...)
		if err == nil {
			return nil
		}
		again := errors.Is(err, fanfare.ErrBusDown)
		if again {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				again = false
			}
		}
		if !again {
			return fmt.Errorf("seam: telling of %d changes: %w", len(items), err)
		}
	}
}

func (b *Board) write(items []Item) (written []Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, item := range items {
		b.version++
		item.Version = b.version
		b.items[item.Name] = item
		written = append(written, item)
	}
	return written
}

// Items returns all items, sorted by name.
func (b *Board) Items() []Item {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Item, 0, len(b.items))
	for _, item := range b.items {
		all = append(all, item)
	}
	slices.SortFunc(all, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	return all
}

//go:embed index.html
var page embed.FS

// Handler serves the page, but for its script, and GET /state, the state that it shows.
func (b *Board) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(page))
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store") // an old state would be before the cursor
		_ = json.NewEncoder(w).Encode(b.Items())    // an error means that the page has gone
	})
	return mux
}
