package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/test/broker"
)

const (
	said   = `{"from":"alice","session":"s1","id":"m1","type":"chat.said","data":{"n":%d}}`
	online = `{"specversion":"1.0","id":"e%d","source":"/fanfare/chat","type":"fanfare.user.online","subject":"alice",` +
		`"time":"2026-01-31T12:00:00Z","datacontenttype":"application/json","data":{"system":"chat","user":"alice"}}`
)

// onStream adds entries until stop is called: who looks sees what comes from now on.
func onStream(t *testing.T, server *broker.RedisServer, topic, form string) (stop func()) {
	t.Helper()
	client := server.Client()
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				client.XAdd(t.Context(), &redis.XAddArgs{Stream: topic, Values: []string{"payload", fmt.Sprintf(form, n)}})
			case <-end:
				return
			}
		}
	}()
	return func() { close(end); <-done }
}

func TestLookingAtWhatClientsSendTakesNothingAway(t *testing.T) {
	server := broker.Redis(t)
	url := "redis-streams://" + server.Addr() + "/0"
	server.Client().XGroupCreateMkStream(t.Context(), "fanfare.chat.inbound", "service", "0")
	stop := onStream(t, server, "fanfare.chat.inbound", said)
	plain := fanfareRun(t, "inbound", "--transport", url, "--system", "chat", "--count", "2")
	inJSON := fanfareRun(t, "inbound", "--transport", url, "--system", "chat", "--count", "1", "--json")
	stop()
	if plain.code != 0 || strings.Count(plain.out, "\n") != 2 || !strings.Contains(plain.out, `- chat alice chat.said {"n":`) {
		t.Errorf("got %+v", plain)
	}
	if inJSON.code != 0 || !strings.HasPrefix(inJSON.out, `{"system":"chat","id":"m1","type":"chat.said","from":"alice","session":"s1"`) {
		t.Errorf("got %+v", inJSON)
	}
	groups, err := server.Client().XInfoGroups(t.Context(), "fanfare.chat.inbound").Result()
	if err != nil || len(groups) != 1 || groups[0].EntriesRead != 0 {
		t.Errorf("looking has changed the groups: %+v, %v", groups, err)
	}
	// A member of the group begins with the first.
	member := fanfareRun(t, "inbound", "--transport", url, "--system", "chat", "--group", "service", "--count", "1")
	if !strings.Contains(member.out, `{"n":0}`) {
		t.Errorf("got %+v", member)
	}

	stop = onStream(t, server, "fanfare.chat.events", online)
	events := fanfareRun(t, "inbound", "--transport", url, "--system", "chat", "--events", "--count", "1")
	stop()
	if events.code != 0 || !strings.Contains(events.out, "chat fanfare.user.online alice") {
		t.Errorf("got %+v", events)
	}
}

func TestWebhookPostsUntilItIsStopped(t *testing.T) {
	server := broker.Redis(t)
	posted := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case posted <- r.Header.Get("webhook-id"):
		default:
		}
	}))
	defer hook.Close()
	const secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	file := write(t, secret+"\n")
	args := []string{
		"webhook", "--transport", "redis-streams://" + server.Addr() + "/0", "--url", hook.URL + "/hunter2",
		"--secret-file", file, "--systems", "chat", "--inbound", "--events",
	}
	p := start(t, nil, args...)
	p.until("posting", func() bool { return strings.Contains(p.output(), "posting to") })
	stop := onStream(t, server, "fanfare.chat.inbound", said)
	defer stop()
	select {
	case id := <-posted:
		if !strings.HasPrefix(id, "msg_") {
			t.Errorf("webhook-id is %q", id)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing was posted: %s", p.output())
	}
	p.signal(os.Interrupt)
	if p.exit() != 0 || strings.Contains(p.output(), "whsec_") || strings.Contains(p.output(), "hunter2") {
		t.Errorf("it ended with %d: %s", p.code, p.output())
	}
}

func TestWhatInboundAndWebhookCannotDoIsSaid(t *testing.T) {
	const bus = "redis://127.0.0.1:1/0"
	for want, args := range map[string][]string{
		"want --system NAME":        {"inbound", "--transport", bus},
		"within one process":        {"inbound", "--system", "chat"},
		"use letters, digits":       {"inbound", "--transport", bus, "--system", "chat", "--group", "a b"},
		"want --url":                {"webhook", "--transport", bus},
		"want --secret-file":        {"webhook", "--transport", bus, "--url", "https://h/", "--systems", "a", "--events"},
		"secret: want 1 to 8":       {"webhook", "--transport", bus, "--url", "https://h/", "--systems", "a", "--events", "--secret-file", os.DevNull},
		"want events, inbound":      {"webhook", "--transport", bus, "--url", "https://h/", "--systems", "a", "--secret-file", os.DevNull},
		"--systems goes with --url": {"webhook", "--transport", bus, "--systems", "a", "--webhooks", "name=a url=https://h/ secret=whsec_x systems=a events"},
		"webhooks: entry 1: events": {"webhook", "--transport", bus, "--webhooks", "events events"},
	} {
		got := fanfareRun(t, args...)
		if got.code != 2 || got.out != "" || !strings.Contains(got.err, want) {
			t.Errorf("%q: got %+v; want %q", args, got, want)
		}
	}
	shown := fanfareRun(t, "config", "print", "--webhooks", "name=crm url=https://h.example/hunter2 secret=whsec_hunter2 systems=a events")
	if shown.code != 0 || strings.Contains(shown.out, "hunter2") || !strings.Contains(shown.out, "name=crm url=https://h.example/(hidden)") {
		t.Errorf("got %+v", shown)
	}
}
