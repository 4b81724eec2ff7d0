package control

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
)

func mustSystem(name string) domain.System {
	s, err := domain.ParseSystem(name)
	if err != nil {
		panic(err)
	}
	return s
}

// everything is a message with all sections.
func everything() *message {
	chat := Place{mustSystem("chat"), "lobby \"1\""}
	m := &message{
		node: "node <1>", inc: "01INC", seq: 7, at: 1_800_000_000_000, steps: 2, bye: true,
		beat: &beat{
			version: "1.2", sessions: 3, users: 2, systems: []string{"chat", "orders"}, systemsMore: 4, lag: 12,
			draining: true, ready: true, facts: digest{5, math.MaxUint64}, rows: digest{1, 2}, speaks: true, unspoken: 9,
			webhooks: math.MaxUint64,
		},
		rows: []row{{chat, "alice", 2}, {Place{chat.System, ""}, "böb", 0}},
		snap: &snap{id: 4, part: 2, last: true, rows: []row{{chat, "carol", 1}}},
		facts: []item{
			{
				key: Key{Kind: Membership, System: "chat", Room: "lobby", Name: "alice"}, ver: version{5, 1, "01INC"},
				until: 10, keep: 20, want: []string{"01A", "01B"},
			},
			{key: Key{Kind: Block, Name: "bob"}, value: Value{Reason: "spam"}, ver: version{6, 0, "X"}, until: 9, keep: 9, del: true},
			{
				key: Key{Kind: Disconnect, Name: "bob"}, value: Value{Reason: "bye", Code: 4100, Final: true},
				ver: version{7, 0, "X"}, until: 9, keep: 9,
			},
			{key: Key{Kind: RevokeUser, Name: "bob"}, value: Value{Before: 77}, ver: version{8, 0, "X"}, until: 9, keep: 9},
			{key: Key{Kind: Rebalance, Name: "01INC"}, value: Value{Rate: 50, Sessions: 7}, ver: version{9, 0, "X"}, until: 9, keep: 9},
		},
		acks: []string{"01C"}, sync: []string{"01D", "01E"}, answering: []string{"01G"}, answered: []string{"01F"},
		buckets: &buckets{to: "01G"},
		asks:    []ask{{id: "01Q", kind: "sessions", body: []byte(`{"user":"alice"}`)}, {id: "01R", kind: "x", to: []string{"01D"}}},
		replies: []reply{
			{id: "01S", body: []byte(`[1, "two"]`)}, {id: "01T", err: "no <idea>"}, {id: "01U"},
		},
	}
	m.buckets.sums[255] = 1 << 63
	return m
}

func TestAMessageIsReadAsItWasWritten(t *testing.T) {
	for name, m := range map[string]*message{
		"everything": everything(),
		"nothing":    {node: "a", inc: "b", seq: 1},
		"anyone":     {node: "a", inc: "b", seq: 1, buckets: &buckets{}, snap: &snap{id: 1, part: 1, last: true}},
		"a beat":     {node: "a", inc: "b", seq: 1, beat: &beat{}},
	} {
		text := m.append(nil)
		got, err := parse(text)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %v\n%s\ngot  %+v\nwant %+v", name, err, text, got, m)
		}
	}
}

func TestWhatIsNotUnderstoodIsPassedOver(t *testing.T) {
	const head = `{"v":2,"node":"a","inc":"b","seq":1,"at":5`
	long := strings.Repeat("x", MaxBody)
	for text, want := range map[string]string{
		`,"later":{"x":[1]},"n":17`: "",
		`,"facts":[{"k":["later","x"],"until":5,"ver":[1,0,"c"],"v":{"code":1}}]`:      "",
		`,"facts":[{"k":["block","x"],"until":5,"ver":[1,0,"c"],"v":{"later":1}}]`:     "fact",
		`,"facts":[{"k":["block","x","y"],"until":5,"ver":[1,0,"c"]}]`:                 "malformed_fact",
		`,"facts":[{"k":["block",""],"until":5,"ver":[1,0,"c"]}]`:                      "malformed_fact",
		`,"facts":[{"k":["block","x"],"until":-5,"ver":[1,0,"c"]}]`:                    "malformed_fact",
		`,"facts":[{"k":["block","x"],"until":5,"ver":[1,0]}]`:                         "malformed_fact",
		`,"facts":[{"k":["block","x"],"ver":[1,0,"c"]}]`:                               "malformed_fact",
		`,"facts":[{"until":5,"ver":[1,0,"c"]}]`:                                       "malformed_fact",
		`,"facts":[{"k":["disconnect","x"],"until":5,"ver":[1,0,"c"],"v":{"code":1}}]`: "malformed_fact",
		`,"facts":[{"k":["member","CHAT","x","y"],"until":5,"ver":[1,0,"c"]}]`:         "malformed_fact",
		`,"facts":7`:                                                      "malformed_facts",
		`,"rows":[["chat","","alice",1]]`:                                 "row",
		`,"rows":[["chat","","alice",1,"later"]]`:                         "row",
		`,"rows":[["chat","","alice"]]`:                                   "malformed_row",
		`,"rows":[["chat","","",1]]`:                                      "malformed_row",
		`,"rows":[["","","alice",1]]`:                                     "malformed_row",
		`,"rows":[["chat","` + strings.Repeat("x", 257) + `","alice",1]]`: "malformed_row",
		`,"rows":[["chat","","alice",-1]]`:                                "malformed_row",
		`,"rows":[["chat","","alice",1e9999]]`:                            "malformed_row",
		`,"rows":{"chat":1}`:                                              "malformed_rows",
		`,"beat":{"facts":{"n":1,"digest":"x"}}`:                          "malformed_beat",
		`,"beat":{"sessions":-1}`:                                         "malformed_beat",
		`,"snap":{"part":1}`:                                              "malformed_snap",
		`,"buckets":{"to":""}`:                                            "malformed_buckets",
		`,"ack":[""]`:                                                     "malformed_ack",
		`,"ask":7`:                                                        "malformed_ask",
		`,"ask":[{"id":"q"}]`:                                             "malformed_ask",
		`,"ask":[{"kind":"k"}]`:                                           "malformed_ask",
		`,"ask":[{"id":"q","kind":"k","to":["\u0001"]}]`:                  "malformed_ask",
		`,"ask":[{"id":"q","kind":"k","body":"` + long + `"}]`:            "malformed_ask",
		`,"ask":[{"id":"q","kind":"k","later":1}]`:                        "ask",
		`,"answer":[{"body":1}]`:                                          "malformed_answer",
		`,"answer":[{"id":"q","body":"` + long + `"}]`:                    "malformed_answer",
		`,"answer":[{"id":"q","error":"` + long + `"}]`:                   "malformed_answer",
		`,"answer":[{"id":"q","later":1}]`:                                "answer",
	} {
		m, err := parse([]byte(head + text + "}"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := ""
		switch {
		case len(m.facts) == 1:
			got = "fact"
		case len(m.rows) == 1:
			got = "row"
		case len(m.asks) == 1:
			got = "ask"
		case len(m.replies) == 1:
			got = "answer"
		}
		for reason := range m.refused {
			got = reason
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestAMessageWithoutAHeadIsRefused(t *testing.T) {
	for _, text := range []string{
		``, `{}`, `[]`, `{"v":1}`, `{"v":0,"node":"a","inc":"b","seq":1,"at":5}`,
		`{"v":1,"node":"a","inc":"b","seq":0,"at":5}`, `{"v":1,"node":"","inc":"b","seq":1,"at":5}`,
		`{"v":1,"node":"a","inc":"","seq":1,"at":5}`, `{"v":1,"node":"a","inc":"b","seq":1,"at":-5}`,
		`{"v":1,"node":"a","inc":"b","seq":1,"at":5,"at":6}`, `{"v":1,"node":"a","inc":"b","seq":1e300,"at":5}`,
		`{"v":1,"node":"a","inc":"b","seq":1,"at":5}{}`, `{"v":1,"node":"a\u0000","inc":"b","seq":1,"at":5}`,
	} {
		if m, err := parse([]byte(text)); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(everything().append(nil))
	f.Add([]byte(`{"v":1,"node":"a","inc":"b","seq":1,"at":5,"facts":[{"k":["block","x"],"until":5,"ver":[1,0,"c"]}]}`))
	f.Add([]byte(`{"v":1,"node":"a","inc":"b","seq":1,"at":5,"rows":[["chat","\u00e4","alice",1.0e1]]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parse(text)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Fatal(err)
			}
			return
		}
		if len(m.rows) > len(text) || len(m.facts) > len(text) {
			t.Fatal("it has more than was said")
		}
		m.refused = nil
		again, err := parse(m.append(nil))
		if err != nil || again.refused != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%v\ngot  %+v\nwant %+v", err, again, m)
		}
	})
}

// FuzzReceive gives a machine whatever the topic may hold, twice and as backlog.
func FuzzReceive(f *testing.F) {
	f.Add(everything().append(nil), int64(0))
	f.Add([]byte(`{"v":1,"node":"a","inc":"me","seq":1,"at":5}`), int64(1)<<50)
	f.Fuzz(func(t *testing.T, text []byte, wall int64) {
		m := New(Config{Node: "me", Incarnation: "me", Facts: 4, Rows: 4, Nodes: 2,
			Presence: func(domain.System) bool { return true }}, Now{})
		for i, backlog := range []bool{true, false, false} {
			_ = m.Receive(Now{Wall: wall, Mono: 1e9}, text, backlog) // the error is for the log
			m.Tick(Now{Wall: wall, Mono: 2e9})
			if said := m.Flush(Now{Wall: wall, Mono: 2e9}); len(said) > DefaultMessage {
				t.Fatalf("%d bytes", len(said))
			}
			m.Published(Now{Wall: wall, Mono: 3e9}, i == 1)
		}
		if s := m.Stats(); s.Facts > 4 || s.Nodes > 3 || s.Rows > 4 {
			t.Fatalf("%+v", s)
		}
	})
}
