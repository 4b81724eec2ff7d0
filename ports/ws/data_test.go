package ws_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/ports/ws"
)

// Whatever content type a client names, its data adds no members to the envelope that
// carries it.
func TestDataOfAnOpWritesNoMembersOfItsEnvelope(t *testing.T) {
	forged := []string{`1,"session":"01VICTIM"`, `1}`, `{"a":1},"from":"admin"`, `"`, ``, "1\n{}", `1,"to":"*"`}
	for _, contentType := range []string{"application/json", "application/x+json", "Application/X+JSON", "application/json; charset=utf-8",
		"application/json;charset=utf-16", "text/plain", "text/x+json", "text/html", "image/svg+xml", "application/x-ndjson", "+json", "application/x+json; a"} {
		for _, data := range forged {
			encoded := base64.StdEncoding.EncodeToString([]byte(data))
			op, err := ws.NewOps(fmt.Appendf(nil, `{"op":"send","system":"chat","to":"room:a","content_type":%q,"data_base64":"%s"}`, contentType, encoded)).Next()
			if err != nil {
				continue // to refuse it is right, too
			}
			op.Send.To = op.To
			var got map[string]any
			if err := json.Unmarshal(envelope.Append(nil, op.Send), &got); err != nil {
				t.Errorf("%s %q: %v", contentType, data, err)
			}
			if got["session"] != nil || got["from"] != nil || got["to"] != "room:a" {
				t.Errorf("%s %q made %v", contentType, data, got)
			}
		}
	}
}

func TestAnOpIsReadByOneParser(t *testing.T) {
	const send = `{"op":"send","ref":1,"system":"chat",`
	for op, answer := range map[string]string{
		send + `"To":"room:lobby","data":1}`:                              `{"op":"error","ref":1,"code":"invalid","message":"To`,
		send + `"DATA":1}`:                                                `{"op":"error","ref":1,"code":"invalid","message":"DATA`,
		send + `"to":"room:a","to":"room:lobby","data":1}`:                `{"op":"error","ref":1,"code":"invalid"`,
		send + `"id":"\ud83d","data":1}`:                                  `{"op":"error","ref":1,"code":"invalid","message":"id`,
		send + `"type":"\ude00","data":1}`:                                `{"op":"error","ref":1,"code":"invalid","message":"type`,
		send + `"to":"room:\ud83d","data":1}`:                             `{"op":"error","ref":1,"code":"invalid","message":"to[0]`,
		send + `"to":["room:a","room:\ud83dx"],"data":1}`:                 `{"op":"error","ref":1,"code":"invalid","message":"to[1]`,
		send + `"headers":{"a":"\ud83d"},"data":1}`:                       `{"op":"error","ref":1,"code":"invalid","message":"headers.a`,
		send + `"headers":{"\ud83d":"a"},"data":1}`:                       `{"op":"error","ref":1,"code":"invalid","message":"headers`,
		send + `"headers":{"a":"1","a":"2"},"data":1}`:                    `{"op":"error","ref":1,"code":"invalid","message":"headers`,
		send + `"content_type":"text/\ud83d","data":1}`:                   `{"op":"error","ref":1,"code":"invalid","message":"content_type`,
		send + `"content_type":"text/plain","data":"\ud83d"}`:             `{"op":"error","ref":1,"code":"invalid","message":"data`,
		send + `"ttl":1.5,"data":1}`:                                      `{"op":"error","ref":1,"code":"invalid","message":"ttl`,
		send + `"ttl":30.0,"data":"\ud83d","to":"room:a","id":"1"}`:       `{"op":"ok","ref":1,"id":"1"}`,
		send + `"ttl":3e1,"data":{"a":1,"a":2,"A":3},"id":"1"}`:           `{"op":"ok","ref":1,"id":"1"}`,
		send + `"content_type":"text/html","data":"<p>","id":"1"}`:        `{"op":"ok","ref":1,"id":"1"}`,
		send + `"content_type":"a/b+json","data":{},"id":"1","new":[]}`:   `{"op":"ok","ref":1,"id":"1"}`,
		send + `"content_type":"text/plain","data":"","id":"1"}`:          `{"op":"ok","ref":1,"id":"1"}`,
		send + `"data_base64":"","id":"1"}`:                               `{"op":"ok","ref":1,"id":"1"}`,
		send + `"data":null,"id":"1","type":"","to":null,"headers":{}}`:   `{"op":"ok","ref":1,"id":"1"}`,
		`{"op":"join","ref":1,"system":"chat","room":"\ud83d"}`:           `{"op":"error","ref":1,"code":"invalid","message":"room`,
		`{"op":"join","ref":1,"system":"chat","Room":"a","room":"lobby"}`: `{"op":"error","ref":1,"code":"invalid","message":"Room`,
		`{"op":"auth","ref":1,"token":"\ud83d"}`:                          `{"op":"error","ref":1,"code":"invalid","message":"token`,
		`{"OP":"leave","ref":1,"system":"chat","room":"lobby"}`:           `{"op":"error","ref":1,"code":"invalid","message":"OP`,
	} {
		n := serve(t, config{})
		c := n.v1("alice", "systems=chat")
		c.says(op)
		c.wants(answer)
	}
}

func TestPlainClientGetsAnEmptyFrameForEmptyData(t *testing.T) {
	n := serve(t, config{ws: ws.Config{OutboxBytes: 2000, OutboxFrames: 16}})
	c := n.plain("alice", "systems=orders")
	const rounds = 50 // enough that some wait together in the outbox
	for range rounds {
		n.deliverMessage("orders", &domain.Message{To: targets("user:alice"), Data: []byte(""), ContentType: domain.Text})
		n.deliverMessage("orders", &domain.Message{To: targets("user:alice"), Data: nil, ContentType: domain.Binary})
		n.deliver("user:alice", "orders", `""`)
	}
	for i := range rounds {
		for _, want := range []string{"", "", `""`} {
			kind, data, err := c.conn.ReadMessage()
			if err != nil || kind != websocket.TextMessage || string(data) != want {
				t.Fatalf("round %d: got %d %q %v, want %q", i, kind, data, err, want)
			}
		}
	}
	c.says("")
	poll(t, func() bool { return len(n.bus.took()) == 1 })
	if got := n.bus.took()[0]; got != `orders inbound from=alice type= text/plain ` {
		t.Errorf("an empty frame became %q", got)
	}
}

func TestDeepFramesOfPlainClientsAreText(t *testing.T) {
	n := serve(t, config{})
	c := n.plain("alice", "systems=orders")
	deep := strings.Repeat("[", 129) + strings.Repeat("]", 129)
	c.says(deep)
	poll(t, func() bool { return len(n.bus.took()) == 1 })
	if got := n.bus.took()[0]; got != `orders inbound from=alice type= text/plain `+deep {
		t.Errorf("it became %q, which no node could read as JSON", got)
	}
}

// checkReadable fails unless every node reads what the op puts on the bus as
// the same message.
func checkReadable(t *testing.T, op ws.Op) {
	t.Helper()
	m := *op.Send
	m.To = op.To
	line := envelope.Append(nil, &m)
	got, err := envelope.Parse(line, envelope.Options{NoTo: true})
	if err != nil {
		t.Fatalf("the bus has what no node can read: %q: %v", line, err)
	}
	if !got.Equal(m) {
		t.Fatalf("%+v became %+v", m, got)
	}
}

func TestTooDeepDataIsAnsweredWithItsRef(t *testing.T) {
	deep := strings.Repeat("[", 129) + strings.Repeat("]", 129)
	op, err := ws.NewOps([]byte(`{"op":"send","ref":7,"system":"chat","data":` + deep + `}`)).Next()
	if refused := (*ws.OpError)(nil); !errors.As(err, &refused) || string(op.Ref) != "7" {
		t.Errorf("ref %s, %v", op.Ref, err)
	}
	good := deep[1 : len(deep)-1]
	if _, err := ws.NewOps([]byte(`{"op":"send","system":"chat","data":` + good + `}`)).Next(); err != nil {
		t.Errorf("128 levels: %v", err)
	}
}
