package ws_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

// Every room that an op can join can also be named in the URL of the next connection.
func TestEveryRoomThatAnOpJoinsCanBeNamedInTheAddress(t *testing.T) {
	n := serve(t, config{registry: session.Config{SessionsPerUser: 1000, FailureRate: session.Rate{Messages: 1e6}}})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, name := range roomNames(rand.New(rand.NewPCG(seed, 0))) {
		text, err := json.Marshal(map[string]string{"op": "join", "system": "chat", "room": name})
		if err != nil {
			t.Fatal(err)
		}
		op, err := ws.NewOps(text).Next()
		if err != nil {
			t.Fatalf("the op refuses %q: %v", name, err)
		}
		header := http.Header{"Sec-Websocket-Protocol": {ws.V1}}
		c, answer, err := n.try("alice/everywhere", "systems=chat&"+url.Values{"room": {"chat/" + op.Room.Name()}}.Encode(), header)
		if err != nil {
			t.Fatalf("%q: %v %v", name, err, answer)
		}
		c.wants(`{"op":"hello"`)
		n.deliverMessage("chat", &domain.Message{To: []domain.Target{op.Room}, Data: []byte(`1`), ContentType: domain.JSON})
		c.wantsData(`1`)
		_ = c.conn.Close()
	}
}

// Lists with commas are read as in the first release.
func TestListsAndSingleRoomsAreReadTogether(t *testing.T) {
	n := serve(t, config{})
	c := n.dial("alice/everywhere", "systems=chat,orders&systems=shop&rooms=chat/a,chat/b&rooms=orders/c&room=chat/d,e&room=chat/f&resume=&_=17", nil)
	c.wants(`{"op":"hello"`)
	for room, system := range map[string]string{"a": "chat", "b": "chat", "c": "orders", "d,e": "chat", "f": "chat"} {
		n.deliver("room:"+room, system, `"`+room+`"`)
		c.wantsData(`"` + room + `"`)
	}
}

// roomNames are names that some parser could take wrongly, and random ones.
func roomNames(rng *rand.Rand) []string {
	names := []string{
		"a,b", ",", ",,", "a,", ",a", "a,chat/b", "chat/a,chat/b", "a/b", "/", "//", "a:b", ":", " ", " a ", "a b", "%", "%2C", "%2c", "100%",
		"%zz", "+", "a+b", "a&b", "&room=x", "#", "a#b", "?", "=", ";", "a;b", `\`, `\,`, `"`, "'", "*", "ü", "日本,語", "👩‍👩‍👧", "\u202e", "e\u0301",
		"null", "-", "!", "..", "../x", ".", strings.Repeat("x", 256), strings.Repeat(",", 256), strings.Repeat("語", 85), strings.Repeat("%", 256),
	}
	alphabet := []rune(`abz019,,,/:%+&#=?;\" '*!~-_.()<>[]{}|^` + "üß語🎺\u00a0\u2028\ufffd")
	for range 200 {
		var b strings.Builder
		for b.Len() < 1+rng.IntN(60) {
			b.WriteRune(alphabet[rng.IntN(len(alphabet))])
		}
		names = append(names, b.String())
	}
	return names
}

// A client that sends a parameter that nothing reads is told so, and which one it
// probably meant.
func TestUnknownParametersAreRefused(t *testing.T) {
	n := serve(t, config{registry: session.Config{SessionsPerUser: 1000, FailureRate: session.Rate{Messages: 1e6}}})
	for query, want := range map[string]string{
		"room=chat/a&rom=chat/b":            `unknown parameter \"rom\": did you mean room?`,
		"Rooms=chat/a":                      `did you mean rooms?`,
		"system=chat":                       `did you mean systems?`,
		"resumes=chat:x":                    `did you mean resume?`,
		"access_token=alice":                `did you mean token?`,
		"token=alice":                       `auth.query_token`,
		"user=bob":                          `only a node in development`,
		"user=":                             `only a node in development`,
		"user=alice":                        "", // as the token says
		"pad=1":                             `unknown parameter \"pad\"`,
		"traceparent=true":                  "",
		"traceparent=0":                     "",
		"traceparent=yes":                   `traceparent: want true or false`,
		"traceparents=1":                    `did you mean traceparent?`,
		"traceparent=1&traceparent=1":       `traceparent: it can be given once`,
		"lastEventId=chat:x":                `unknown parameter`,
		"since=x":                           `unknown parameter`,
		strings.Repeat("x", 300) + "=1":     `unknown parameter`,
		"%ff=1":                             `unknown parameter`,
		"rooms=chat/a,,chat/b":              `rooms[1]: empty`,
		"rooms=,":                           `rooms[0]: empty`,
		"rooms=chat/a,b":                    `room=system/name`,
		"rooms=chat/":                       `must not be empty`,
		"room=":                             `room[0]`,
		"room=chat/":                        `must not be empty`,
		"room=other/x":                      `not among systems`,
		"resume=chat:":                      `not a cursor`,
		"resume=,":                          `resume[0]: empty`,
		"resume=" + twoCursors:              `two different cursors`,
		"systems=":                          "",
		"rooms=&resume=&token=&_=1&_t=":     "",
		"systems=chat&resume=" + sameCursor: "",
	} {
		header := http.Header{"Sec-Websocket-Protocol": {ws.V1}}
		c, answer, err := n.try("alice", "systems=chat&"+query, header)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", query, err)
		case want == "":
			c.wants(`{"op":"hello"`)
		case err == nil:
			t.Errorf("%s was taken", query)
		default:
			body := bodyOf(answer)
			if answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, want) || len(body) > 400 {
				t.Errorf("%s: %d %s, want …%s…", query, answer.StatusCode, body, want)
			}
		}
	}
	for query, want := range map[string]string{"": "systems: missing", "systems=": "systems: missing", "systems=,": "systems[0]: empty", "systems=chat,": "systems[1]: empty"} {
		_, answer, err := n.try("alice", query, http.Header{"Sec-Websocket-Protocol": {ws.V1}})
		if err == nil || answer.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%q was taken", query)
		} else if body := bodyOf(answer); !strings.Contains(body, want) {
			t.Errorf("%q: %s", query, body)
		}
	}
	_, answer, err := n.try("", "systems=chat&token=alice", http.Header{"Sec-Websocket-Protocol": {ws.V1}})
	if err == nil || answer.StatusCode != http.StatusUnauthorized {
		t.Error("a token in the query was taken")
	} else if body := bodyOf(answer); !strings.Contains(body, "auth.query_token") {
		t.Errorf("it is not said why: %s", body)
	}
}

var (
	twoCursors = fmt.Sprintf("chat:%v,chat:%v", domain.Cursor{Log: log, Position: pos(1)}, domain.Cursor{Log: log, Position: pos(2)})
	sameCursor = fmt.Sprintf("chat:%[1]v,chat:%[1]v", domain.Cursor{Log: log, Position: pos(0)})
)
