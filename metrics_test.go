package fanfare_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare"
)

// shown returns what a scrape shows of a node, by series.
func shown(t *testing.T, node *fanfare.Node) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "http://127.0.0.1/metrics", nil)
	r.RemoteAddr = "127.0.0.1:1"
	node.AdminHandler().ServeHTTP(w, r)
	all := make(map[string]float64)
	for _, m := range regexp.MustCompile(`(?m)^(fanfare_\S+) (\S+)$`).FindAllStringSubmatch(w.Body.String(), -1) {
		value, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		all[m[1]] = value
	}
	return all
}

// The way of a message is counted where it comes along: at the bus, in the window, in an
// outbox and on a connection. That there is a message does not mean that somebody got it.
func TestAMessageIsCountedWhereItComesAlong(t *testing.T) {
	cfg := fanfare.Config{Systems: []string{"orders"}}
	cfg.Control.Disabled = true // it publishes, too
	node, url := runNode(t, cfg)
	s := connect(t, url, "alice", "")
	s.read(t) // hello
	const forAlice, forNobody = 5, 3
	for i := range forAlice + forNobody {
		to := "user:alice"
		if i >= forAlice {
			to = "user:nobody"
		}
		message := fanfare.Message{To: []string{to}, Data: json.RawMessage(fmt.Sprint(i))}
		if _, err := node.Publish(t.Context(), "orders", message); err != nil {
			t.Fatal(err)
		}
	}
	for range forAlice {
		s.read(t)
	}
	want := map[string]float64{
		`fanfare_ready`:                                    1,
		`fanfare_draining`:                                 0,
		`fanfare_sessions`:                                 1,
		`fanfare_bus_lag_seconds{system="orders"}`:         0,
		`fanfare_bus_publish_duration_seconds_count`:       forAlice + forNobody,
		`fanfare_messages_total{system="orders"}`:          forAlice + forNobody,
		`fanfare_messages_matched_total{system="orders"}`:  forAlice,
		`fanfare_messages_queued_total{system="orders"}`:   forAlice,
		`fanfare_messages_written_total{port="ws"}`:        forAlice,
		`fanfare_messages_written_total{port="sse"}`:       0,
		`fanfare_notices_written_total{port="ws"}`:         1,
		`fanfare_delivery_delay_seconds_count{port="ws"}`:  forAlice,
		`fanfare_delivery_delay_seconds_count{port="sse"}`: 0,
	}
	var wrong string
	counted := func() bool { // what is written is counted after that
		wrong = ""
		got := shown(t, node)
		for series, value := range want {
			if n, ok := got[series]; !ok || n != value {
				wrong += fmt.Sprintf("%s is %v (%v), want %v\n", series, n, ok, value)
			}
		}
		if got["fanfare_sessions_limit"] < 1 || got[`fanfare_written_bytes_total{port="ws"}`] < 100 {
			wrong += "no limit of sessions, or hardly any bytes\n"
		}
		return wrong == ""
	}
	defer func() {
		if t.Failed() {
			t.Log(wrong)
		}
	}()
	within(t, 10*time.Second, "the right numbers", counted)
}
