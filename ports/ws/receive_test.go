package ws_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

// hostile maps what clients may send to the start of the answer.
var hostile = []struct{ op, answer string }{
	{``, `{"op":"error","code":"invalid"`},
	{` `, `{"op":"error","code":"invalid"`},
	{`null`, `{"op":"error","code":"invalid"`},
	{`7`, `{"op":"error","code":"invalid"`},
	{`"join"`, `{"op":"error","code":"invalid"`},
	{`[]`, `{"op":"error","code":"invalid"`},
	{`{`, `{"op":"error","code":"invalid"`},
	{`{}`, `{"op":"error","code":"invalid"`},
	{`}{`, `{"op":"error","code":"invalid"`},
	{"\x00\x01\x02", `{"op":"error","code":"invalid"`},
	{`{"ref":1}`, `{"op":"error","ref":1,"code":"invalid"`},
	{`{"op":5,"ref":2}`, `{"op":"error","ref":2,"code":"invalid"`},
	{`{"op":"dance","ref":3}`, `{"op":"error","ref":3,"code":"unsupported"`},
	{`{"op":"JOIN","ref":3}`, `{"op":"error","ref":3,"code":"unsupported"`},
	{`{"op":"join","ref":4}`, `{"op":"error","ref":4,"code":"invalid","message":"system`},
	{`{"op":"join","ref":5,"system":"chat"}`, `{"op":"error","ref":5,"code":"invalid","message":"room`},
	{`{"op":"join","ref":5,"system":"chat","room":null}`, `{"op":"error","ref":5,"code":"invalid","message":"room`},
	{`{"op":"join","ref":6,"system":"chat","room":""}`, `{"op":"error","ref":6,"code":"invalid","message":"room`},
	{`{"op":"join","ref":7,"system":"chat","room":7}`, `{"op":"error","ref":7,"code":"invalid","message":"room`},
	{`{"op":"join","ref":8,"system":"chat","room":"a\u0000b"}`, `{"op":"error","ref":8,"code":"invalid","message":"room`},
	{`{"op":"join","ref":9,"system":"chat","room":"` + strings.Repeat("r", 300) + `"}`, `{"op":"error","ref":9,"code":"invalid"`},
	{`{"op":"join","ref":10,"system":"CHAT","room":"lobby"}`, `{"op":"error","ref":10,"code":"invalid"`},
	{`{"op":"join","ref":11,"system":"shop","room":"lobby"}`, `{"op":"error","ref":11,"code":"not_found"`},
	{`{"op":"join","ref":12,"system":"orders","room":"lobby"}`, `{"op":"error","ref":12,"code":"forbidden"`},
	{`{"op":"join","ref":13,"system":"chat","room":"a/b"}`, `{"op":"error","ref":13,"code":"forbidden"`},
	{`{"op":"join","ref":14,"system":"chat","room":"lobby","since":"x"}`, `{"op":"error","ref":14,"code":"invalid","message":"since`},
	{`{"op":"join","ref":14,"system":"chat","room":"lobby","last":0}`, `{"op":"error","ref":14,"code":"invalid","message":"last`},
	{`{"op":"join","ref":14,"system":"chat","room":"lobby","last":1001}`, `{"op":"error","ref":14,"code":"invalid","message":"last`},
	{`{"op":"join","ref":14,"system":"chat","room":"lobby","last":1.5}`, `{"op":"error","ref":14,"code":"invalid","message":"last`},
	{`{"op":"join","ref":14,"system":"chat","room":"lobby","last":true}`, `{"op":"error","ref":14,"code":"invalid","message":"last`},
	{`{"op":"join","ref":14,"system":"chat","room":"lobby","last":"x"}`, `{"op":"error","ref":14,"code":"invalid","message":"last`},
	{`{"op":"join","ref":14,"system":"chat","room":"lobby","last":"-5m"}`, `{"op":"error","ref":14,"code":"invalid","message":"last`},
	{`{"op":"join","ref":14,"system":"chat","room":"lobby","last":["5m"]}`, `{"op":"error","ref":14,"code":"invalid","message":"last`},
	{`{"op":"join","ref":14,"system":"chat","room":"lobby","last":"\ud800"}`, `{"op":"error","ref":14,"code":"invalid","message":"last`},
	{`{"op":"leave","ref":15,"system":"chat","room":[]}`, `{"op":"error","ref":15,"code":"invalid"`},
	{`{"op":"send","ref":16,"system":"chat"}`, `{"op":"error","ref":16,"code":"invalid","message":"data`},
	{`{"op":"send","ref":17,"system":"chat","to":"nobody","data":1}`, `{"op":"error","ref":17,"code":"invalid","message":"to[0]`},
	{`{"op":"send","ref":18,"system":"chat","to":[],"data":1}`, `{"op":"error","ref":18,"code":"invalid","message":"to`},
	{`{"op":"send","ref":19,"system":"chat","to":{"a":1},"data":1}`, `{"op":"error","ref":19,"code":"invalid","message":"to`},
	{`{"op":"send","ref":20,"system":"chat","to":["room:a",7],"data":1}`, `{"op":"error","ref":20,"code":"invalid","message":"to`},
	{`{"op":"send","ref":21,"system":"chat","to":"user:bob","data":1}`, `{"op":"error","ref":21,"code":"forbidden"`},
	{`{"op":"send","ref":22,"system":"chat","to":"*","data":1}`, `{"op":"error","ref":22,"code":"forbidden"`},
	{`{"op":"send","ref":23,"system":"shop","data":1}`, `{"op":"error","ref":23,"code":"not_found"`},
	{`{"op":"send","ref":24,"system":"chat","ttl":-1,"data":1}`, `{"op":"error","ref":24,"code":"invalid","message":"ttl`},
	{`{"op":"send","ref":25,"system":"chat","ttl":1e99,"data":1}`, `{"op":"error","ref":25,"code":"invalid","message":"ttl`},
	{`{"op":"send","ref":26,"system":"chat","data":1,"data_base64":"AA=="}`, `{"op":"error","ref":26,"code":"invalid","message":"data_base64`},
	{`{"op":"send","ref":27,"system":"chat","data_base64":"!!"}`, `{"op":"error","ref":27,"code":"invalid","message":"data_base64`},
	{`{"op":"send","ref":28,"system":"chat","content_type":"text/plain","data":{}}`, `{"op":"error","ref":28,"code":"invalid","message":"data`},
	{`{"op":"send","ref":29,"system":"chat","content_type":"image/png","data":"x"}`, `{"op":"error","ref":29,"code":"invalid","message":"data`},
	{`{"op":"send","ref":30,"system":"chat","content_type":"application/json","data_base64":"ew=="}`, `{"op":"error","ref":30,"code":"invalid"`},
	{`{"op":"send","ref":31,"system":"chat","id":"a\nb","data":1}`, `{"op":"error","ref":31,"code":"invalid","message":"id`},
	{`{"op":"send","ref":32,"system":"chat","type":"` + strings.Repeat("t", 300) + `","data":1}`, `{"op":"error","ref":32,"code":"invalid","message":"type`},
	{`{"op":"send","ref":33,"system":"chat","headers":{"a":1},"data":1}`, `{"op":"error","ref":33,"code":"invalid","message":"headers`},
	{`{"op":"auth","ref":34}`, `{"op":"error","ref":34,"code":"invalid","message":"token`},
	{`{"op":"auth","ref":35,"token":"alice/bad"}`, `{"op":"error","ref":35,"code":"forbidden"`},
	{`{"op":"auth","ref":36,"token":"bob"}`, `{"op":"error","ref":36,"code":"forbidden"`},
	{`{"op":"join","ref":{"a":1},"system":"chat","room":"lobby"}`, `{"op":"error","code":"invalid","message":"ref`},
	{`{"op":"join","ref":"` + strings.Repeat("x", 80) + `","system":"chat","room":"lobby"}`, `{"op":"error","code":"invalid","message":"ref`},
	{strings.Repeat(`[`, 20_000), `{"op":"error","code":"invalid"`},
	{`{"op":"send","ref":37,"system":"chat","data":` + strings.Repeat(`[`, 20_000) + `}`, `{"op":"error","code":"invalid"`},
}

func TestHostileOpsAreAnsweredAndTheSessionLives(t *testing.T) {
	n := serve(t, config{ws: ws.Config{SessionRate: session.Rate{Messages: 1e6, Bytes: 1e9}, UserRate: session.Rate{Messages: 1e6, Bytes: 1e9}}})
	c := n.v1("alice", "systems=orders,chat")
	for _, h := range hostile {
		c.says(h.op)
		c.wants(h.answer)
		c.says(`{"op":"leave","ref":0,"system":"chat","room":"x"}`) // so that the errors are not in a row
		c.wants(`{"op":"ok","ref":0}`)
	}
	if err := c.conn.WriteMessage(websocket.BinaryMessage, []byte(`{"op":"join"}`)); err != nil {
		t.Fatal(err)
	}
	c.wants(`{"op":"error","code":"unsupported"`)
	if got := n.opErrors(); got != uint64(len(hostile)+1) {
		t.Errorf("%d errors were counted, want %d", got, len(hostile)+1)
	}
}

func TestSeveralOpsInOneFrame(t *testing.T) {
	n := serve(t, config{})
	c := n.v1("alice", "systems=chat")
	c.says("{\"op\":\"join\",\"ref\":1,\"system\":\"chat\",\"room\":\"a\"}\n{\"op\":7,\"ref\":2}\n{\"op\":\"leave\",\n\"ref\":3,\"system\":\"chat\",\"room\":\"a\"}")
	c.wants(`{"op":"ok","ref":1}`)
	c.wants(`{"op":"error","ref":2`)
	c.wants(`{"op":"ok","ref":3}`)
}

func TestTenErrorsInARowEndTheSession(t *testing.T) {
	n := serve(t, config{})
	c := n.v1("alice", "systems=orders")
	for range 10 {
		c.says(`nonsense`)
	}
	for range 10 {
		c.wants(`{"op":"error"`)
	}
	c.wantsClose(session.ClosePolicy)
}

func TestTenErrorsEndAPlainSessionToo(t *testing.T) {
	n := serve(t, config{})
	n.bus.fail(domain.ErrTooLarge)
	c := n.plain("alice", "systems=orders")
	for range 10 {
		c.says("x")
	}
	c.wantsClose(session.ClosePolicy)
}

func TestBusErrorsHaveTheirCodesAndDoNotEndTheSession(t *testing.T) {
	n := serve(t, config{})
	c := n.v1("alice", "systems=chat")
	for err, code := range map[error]string{domain.ErrLimit: "rate_limited", domain.ErrTooLarge: "too_large",
		domain.ErrNotServed: "not_found", domain.ErrUnsupported: "unsupported", errors.New("odd"): "bus_down"} {
		n.bus.fail(err)
		c.says(`{"op":"send","ref":1,"system":"chat","data":1}`)
		c.wants(`{"op":"error","ref":1,"code":"` + code)
	}
	// It is not the client's fault that the bus refuses the node.
	for reason, says := range map[error]string{domain.ErrForbidden: "refuses", domain.ErrUnsupported: "refuses", domain.ErrBusFull: "full"} {
		n.bus.fail(domain.Refused(fmt.Errorf("nats: %w", reason)))
		c.says(`{"op":"send","ref":1,"system":"chat","data":1}`)
		if got := c.wants(`{"op":"error","ref":1,"code":"bus_down"`); !strings.Contains(got, says) {
			t.Errorf("%v: %s", reason, got)
		}
	}
	n.bus.fail(domain.ErrBusDown)
	for range 2 * 10 {
		c.says(`{"op":"send","ref":1,"system":"chat","data":1}`)
		c.wants(`{"op":"error","ref":1,"code":"bus_down"`)
	}
	n.bus.fail(nil)
	c.says(`{"op":"send","ref":2,"system":"chat","data":1}`)
	c.wants(`{"op":"ok","ref":2`)
}

func TestClientsAreHeldToTheirRate(t *testing.T) {
	n := serve(t, config{ws: ws.Config{SessionRate: session.Rate{Messages: 2, Bytes: 1 << 20}}})
	c := n.v1("alice", "systems=chat")
	for i := range 5 {
		c.says(fmt.Sprintf(`{"op":"leave","ref":%d,"system":"chat","room":"x"}`, i))
	}
	for i := range 4 {
		c.wants(fmt.Sprintf(`{"op":"ok","ref":%d}`, i))
	}
	c.wants(`{"op":"error","ref":4,"code":"rate_limited"`)
	if n.server.Stats().Errors[ws.RateLimited] != 1 {
		t.Errorf("stats: %+v", n.server.Stats())
	}
}

func TestTheRateOfAUserCoversAllOfItsSessions(t *testing.T) {
	n := serve(t, config{ws: ws.Config{UserRate: session.Rate{Messages: 1, Bytes: 1 << 20}}})
	a, b := n.v1("alice", "systems=chat"), n.v1("alice", "systems=chat")
	for range 2 {
		a.says(`{"op":"leave","system":"chat","room":"x"}`)
		a.wants(`{"op":"ok"}`)
	}
	b.says(`{"op":"leave","system":"chat","room":"x"}`)
	b.wants(`{"op":"error","code":"rate_limited"`)
}

func TestBytesCountToo(t *testing.T) {
	n := serve(t, config{ws: ws.Config{MessageBytes: 1000, SessionRate: session.Rate{Messages: 1000, Bytes: 10}}})
	c := n.v1("alice", "systems=chat")
	c.says(`{"op":"send","system":"chat","data":"` + strings.Repeat("x", 900) + `"}`)
	c.wants(`{"op":"ok"`)
	c.says(`{"op":"send","system":"chat","data":"` + strings.Repeat("x", 900) + `"}`)
	c.wants(`{"op":"error","code":"rate_limited"`)
}

func TestTooLargeMessagesEndTheSession(t *testing.T) {
	n := serve(t, config{ws: ws.Config{MessageBytes: 1000}})
	c := n.v1("alice", "systems=chat")
	c.says(`{"op":"send","system":"chat","data":"` + strings.Repeat("x", 200_000) + `"}`)
	c.wantsClose(session.CloseTooBig)
	poll(t, func() bool { return n.registry.Stats().Closed[session.CloseTooBig] == 1 })

	plain := n.plain("alice", "systems=chat")
	plain.says(strings.Repeat("x", 1001)) // an op of that size would be answered
	plain.wantsClose(session.CloseTooBig)
	poll(t, func() bool { return n.registry.Stats().Closed[session.CloseTooBig] == 2 })
}

func TestTheLargestDataFitsIntoAnOp(t *testing.T) {
	const most = 1 << 16
	n := serve(t, config{ws: ws.Config{MessageBytes: most, SessionRate: session.Rate{Messages: 1000, Bytes: 10}}})
	for _, data := range []string{
		`"data":"` + strings.Repeat("x", most-2) + `"`,
		`"data_base64":"` + base64.StdEncoding.EncodeToString(make([]byte, most)) + `"`,
	} {
		c := n.v1("alice", "systems=chat")
		c.says(`{"op":"send","ref":1,"system":"chat","type":"` + strings.Repeat("t", 256) + `","to":"room:lobby",` + data + `}`)
		c.wants(`{"op":"ok","ref":1`)
	}
}

func TestRoomsAreBounded(t *testing.T) {
	n := serve(t, config{registry: session.Config{Rooms: 2}})
	c := n.v1("alice", "systems=chat&rooms=chat/a,chat/b")
	c.says(`{"op":"join","ref":1,"system":"chat","room":"a"}`)
	c.wants(`{"op":"ok","ref":1}`)
	c.says(`{"op":"join","ref":2,"system":"chat","room":"c"}`)
	c.wants(`{"op":"error","ref":2,"code":"too_large"`)
	n.deliver("room:b", "chat", `"b"`)
	c.wantsData(`"b"`)
}

func TestRefreshLeavesWhatTheNewTokenLacks(t *testing.T) {
	n := serve(t, config{})
	c := n.v1("alice", "systems=orders,chat&rooms=chat/lobby,chat/attic")
	c.says(`{"op":"auth","ref":1,"token":"alice/lobby"}`)
	c.wants(`{"op":"left","system":"chat","room":"attic","reason":"token"}`)
	c.wants(`{"op":"ok","ref":1}`)
	c.says(`{"op":"auth","ref":2,"token":"alice/orders"}`)
	c.wants(`{"op":"left","system":"chat","reason":"token"}`)
	c.wants(`{"op":"ok","ref":2}`)
	n.deliver("user:alice", "chat", `"no"`)
	n.deliver("user:alice", "orders", `"yes"`)
	c.wantsData(`"yes"`)
	c.says(`{"op":"auth","ref":3,"token":"alice/nothing"}`)
	c.wants(`{"op":"left","system":"orders","reason":"token"}`)
	c.wantsClose(session.CloseForbidden)
}

// A new token is checked like the first one, and counts as much when it is wrong.
func TestARefreshThatFailsSaysWhy(t *testing.T) {
	n := serve(t, config{registry: session.Config{FailureRate: session.Rate{Messages: 0.2}}})
	c := n.v1("alice", "systems=orders")
	for ref, test := range []struct{ token, code, message string }{
		{"alice/late", "busy", "cannot be checked now"},
		{"bob", "forbidden", "another user"},
		{"alice/ttl=-1s", "forbidden", "it has expired"},
		{"alice/bad", "forbidden", "not a valid token"},
		{"alice/bad", "rate_limited", "too many wrong tokens"},
		{"alice/ttl=-1s", "rate_limited", "too many wrong tokens"},
	} {
		c.says(fmt.Sprintf(`{"op":"auth","ref":%d,"token":%q}`, ref, test.token))
		answer := c.wants(fmt.Sprintf(`{"op":"error","ref":%d,"code":%q`, ref, test.code))
		if !strings.Contains(answer, test.message) {
			t.Errorf("%s: %s", test.token, answer)
		}
	}
	c.says(`{"op":"auth","ref":9,"token":"alice/lobby"}`)
	c.wants(`{"op":"ok","ref":9}`)
	if r := n.registry.Stats().Reasons; r["expired"] != 2 || r["unauthenticated"] != 2 || r["failed"] != 1 || r["other_user"] != 1 {
		t.Errorf("counted %v", r)
	}
}

func FuzzOps(f *testing.F) {
	for _, h := range hostile {
		f.Add([]byte(h.op))
	}
	f.Add([]byte(`{"op":"send","ref":"r","system":"chat","to":["room:a","*"],"ttl":5,"headers":{"a":"b"},"data":` + "[1,\n2]}"))
	f.Add([]byte(`{"op":"send","system":"chat","data_base64":"AAEC"} {"op":"auth","token":"t"}`))
	f.Add([]byte(`{"op":"presence","ref":1,"system":"chat","room":"a","watch":"users"} {"op":"presence","system":"chat","watch":false}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		ops := ws.NewOps(frame)
		for range len(frame) + 2 {
			op, err := ops.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if len(op.Ref) > ws.MaxRef || len(op.Ref) > 0 && !json.Valid(op.Ref) {
				t.Fatalf("ref %q", op.Ref)
			}
			if refused := (*ws.OpError)(nil); err != nil && !errors.As(err, &refused) {
				t.Fatalf("error %T %v", err, err)
			}
			if err == nil && op.Name == "send" {
				checkSend(t, op)
			}
			if watches := op.Watch == ws.WatchNothing || op.Watch == ws.WatchCount || op.Watch == ws.WatchUsers; err == nil &&
				op.Name == "presence" && (!watches || op.System == (domain.System{})) {
				t.Fatalf("%+v", op)
			}
		}
		t.Fatal("it never ends")
	})
}

func checkSend(t *testing.T, op ws.Op) {
	t.Helper()
	m := op.Send
	if m.ContentType == domain.JSON && (!json.Valid(m.Data) || strings.ContainsAny(string(m.Data), "\r\n")) {
		t.Fatalf("not one line of JSON: %q", m.Data)
	}
	checkReadable(t, op)
	if len(op.To) > domain.MaxTargets || m.TTL < 0 || m.TTL > domain.MaxTTL {
		t.Fatalf("out of bounds: %d targets, ttl %v", len(op.To), m.TTL)
	}
}

// A message that is answered ok must be readable for every node, so the rules of
// envelopes apply to ops as well.
func TestSendRefusesWhatNoNodeCouldRead(t *testing.T) {
	n := serve(t, config{})
	c := n.v1("alice", "systems=orders,chat")
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	c.says(`{"op":"send","ref":1,"system":"orders","data":` + deep + `}`)
	c.wants(`{"op":"error","ref":1,"code":"invalid"`)
	c.says(`{"op":"send","ref":2,"system":"orders","content_type":"application/x+json","data_base64":"AAAA"}`)
	c.wants(`{"op":"error","ref":2,"code":"invalid"`)
	if got := n.bus.took(); len(got) != 0 {
		t.Errorf("the bus took %q", got)
	}
}
