package fanfare_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/loglimit"
	"github.com/fanfarebus/fanfare/domain"
)

func TestPublishesAreLoggedWithoutTheirData(t *testing.T) {
	for level, want := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: false} {
		var logged journal
		log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: level}))
		n := startNode(t, fanfare.Config{Dev: true, Systems: []string{"orders"}, Drain: 1}, fanfare.WithLogger(log))
		server := httptest.NewServer(n.g)
		defer server.Close()
		res, err := http.Post(server.URL+"/v1/systems/orders/messages", "application/json",
			strings.NewReader(`{"id":"m1","to":["user:alice","room:desk"],"data":"secret"}`))
		if err != nil || res.StatusCode != http.StatusAccepted {
			t.Fatalf("%v %v", res, err)
		}
		_ = res.Body.Close()
		_, err = n.g.Publish(t.Context(), "orders", fanfare.Message{ID: "m2", To: []string{"user:bob"}, Data: []byte(`"secret"`)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.g.Publish(t.Context(), "orders", fanfare.Message{ID: "m3", To: []string{"nobody"}}); err == nil {
			t.Error("a message to nobody was published")
		}
		for _, line := range []string{
			`level=DEBUG msg="messages were published" system=orders messages=1 ids=[m1] to="[user:alice room:desk]" cursor=`,
			`level=DEBUG msg="messages were published" system=orders messages=1 ids=[m2] to=[user:bob] cursor=`,
			`level=DEBUG msg="messages were not published" system=orders messages=1 ids=[`,
		} {
			if got := logged.has(line); got != want {
				t.Errorf("at the level %v: %v: %s: %s", level, got, line, &logged)
			}
		}
		if logged.has("secret") {
			t.Errorf("the log has data: %s", &logged)
		}
	}
}

// sink takes everything.
type sink struct{ domain.Publisher }

func (sink) Publish(context.Context, domain.System, ...*domain.Message) (domain.Cursor, error) {
	return domain.Cursor{}, nil
}

// What the log costs a publish while the level is info.
func BenchmarkAPublishThatIsNotLogged(b *testing.B) {
	log := slog.New(loglimit.New(slog.NewTextHandler(io.Discard, nil)))
	out := fanfare.LoggedPublisher(sink{}, log)
	msgs := []*domain.Message{{ID: "m1"}}
	publish := func() { _, _ = out.Publish(context.Background(), domain.System{}, msgs...) }
	if n := testing.AllocsPerRun(100, publish); n > 0 {
		b.Errorf("it allocates %v times", n)
	}
	for b.Loop() {
		publish()
	}
}
