package fanfare_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
)

// What is a little too large is answered; it does not cost the session.
func TestTheLimitOfAMessageIsThatOfItsData(t *testing.T) {
	node, err := fanfare.New(t.Context(), fanfare.Config{Dev: true, Systems: []string{"orders"}, Drain: 1})
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
	d := connect(t, server.URL, "alice", "")
	d.read(t)
	for ref, size := range []int{64<<10 - 2, 64<<10 - 1, 64<<10 - 2} { // beside the quotes
		send := fmt.Sprintf(`{"op":"send","ref":%d,"system":"orders","to":"room:lobby","data":"%s"}`, ref, strings.Repeat("x", size))
		if err := d.conn.WriteMessage(websocket.TextMessage, []byte(send)); err != nil {
			t.Fatal(err)
		}
		want := "ok"
		if size > 64<<10-2 {
			want = "error"
		}
		if o := d.read(t); o.Op != want {
			t.Errorf("%d bytes: %+v, want %s", size, o, want)
		}
	}
}
