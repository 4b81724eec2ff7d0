package receipts_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/test/cluster"
)

// connect has a user's Go client run until stop is called. It calls handle for each message. When
// the client has ended, ended returns what Run did.
func connect(
	t *testing.T, c *cluster.Cluster, n *cluster.Node, user string, handle func(context.Context) error,
) (stop func(), ended func() error) {
	t.Helper()
	opened := make(chan struct{}, 1)
	u, err := client.New(client.Config{
		URL: n.URL() + "?user=" + user, Systems: []string{"orders"},
		Dialer: &websocket.Dialer{NetDialContext: c.Dial},
		Handler: client.Handler{
			Hello:   func(context.Context, *client.Hello) error { opened <- struct{}{}; return nil },
			Message: func(ctx context.Context, _ *client.Message) error { return handle(ctx) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = u.Run(ctx)
	}()
	ended = func() error { <-done; return err }
	t.Cleanup(func() { stop(); <-done })
	select {
	case <-opened:
	case <-done:
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatal("the client has not connected")
	}
	return stop, ended
}

// The Go client acknowledges on a real node what its handler has dealt with, and nothing else.
func TestGoClientAcknowledgesWhatItsHandlerHasDealtWith(t *testing.T) {
	onBuses(t, func(t *testing.T, c *cluster.Cluster) {
		errFull := errors.New("no room")
		called, results := make(chan struct{}, 1), make(chan error)
		_, ended := connect(t, c, c.Node(1), "alice", func(ctx context.Context) error {
			called <- struct{}{}
			select {
			case err := <-results:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		await := func() {
			t.Helper()
			select {
			case <-called:
			case <-time.After(patience):
				t.Fatal("the handler was not called")
			}
		}
		done := publishing(t, c, c.Node(0), "?wait=acked:30s", "user:alice")
		await()
		results <- nil
		first := <-done
		if first.status != http.StatusOK || !stateIs(control.FateAcked)(first.report) {
			t.Fatalf("what was handled: %d %+v", first.status, first.report)
		}
		_, second := publish(t, c, c.Node(0), "?wait=written:30s", "user:alice")
		await()
		results <- errFull
		if err := ended(); !errors.Is(err, errFull) {
			t.Errorf("the client has ended with %v", err)
		}
		stop, ended := connect(t, c, c.Node(2), "bob", func(ctx context.Context) error {
			called <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
		_, third := publish(t, c, c.Node(0), "?wait=written:30s", "user:bob")
		await()
		stop()
		_ = ended()
		for _, n := range c.Nodes() {
			for id, want := range map[string]control.Fate{
				first.report.ID: control.FateAcked, second.ID: control.FateWritten, third.ID: control.FateWritten,
			} {
				until(t, c, n, id, func(r control.ReceiptReport) bool {
					if want != control.FateAcked && r.Receipts[0].Counts[control.FateAcked] > 0 {
						t.Fatalf("%s says that %s was handled: %+v", n.Name(), id, r)
					}
					sessions := r.Receipts[0].Sessions
					return stateIs(want)(r) && len(sessions) == 1 && !sessions[0].Ended.IsZero()
				})
			}
		}
	})
}
