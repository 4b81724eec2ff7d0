package fanfare_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/domain"
)

// Cursors of logs that never were are a gap; and they make the node look for
// them in the bus's log once, however many there are.
func TestForgedCursorsDoNotReadTheLog(t *testing.T) {
	log := &counted{Bus: memory.New(memory.Config{})}
	node, err := fanfare.New(t.Context(), fanfare.Config{Dev: true, Systems: []string{"orders"}, Drain: 1}, fanfare.WithDriver(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	server := httptest.NewServer(node)
	defer server.Close()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	connect(t, server.URL, "nobody", "").read(t) // the system is open
	for i := range 10 {
		if _, err := node.Publish(t.Context(), "orders", fanfare.Message{To: []string{"user:alice"}, Data: json.RawMessage(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	before := log.reads.Load()
	for i := range 50 {
		forged := domain.Cursor{Log: domain.LogID(0xF0 + i), Position: domain.Position(fmt.Sprint("p", i)), Time: time.UnixMilli(int64(i - 25)), ID: 7}
		eve := connect(t, server.URL, fmt.Sprint("eve", i%3), forged.String())
		eve.read(t)
		if o := eve.read(t); o.Op != "gap" {
			t.Fatalf("%d: told %+v, want a gap", i, o)
		}
		eve.conn.Close()
	}
	if n := log.reads.Load() - before; n != 1 {
		t.Errorf("the log was read %d times, want once", n)
	}
}
