package session_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/trace"
	"github.com/fanfarebus/fanfare/ports/session"
)

// at returns the cursor of the bus's nth message.
func at(n int) domain.Cursor {
	return domain.Cursor{Log: 7, Position: domain.Position(fmt.Sprintf("%06d", n)), ID: domain.HashID(fmt.Sprintf("m%d", n))}
}

// frameOf is what a session is offered of the bus's nth message.
func frameOf(sys string, n int, c domain.Cursor) []byte {
	m := domain.Message{ID: fmt.Sprintf("m%d", n), ContentType: domain.JSON, Data: []byte("1")}
	return session.V1Encoder{}.Message(system(sys), &m, domain.Everyone, c).Bytes
}

// traced asks what became of the bus's nth message for alice, as other nodes do.
func (p *plane) traced(t testing.TB, n int, to ...string) (a trace.Answer) {
	t.Helper()
	q, err := json.Marshal(trace.Question{
		System: "chat", ID: fmt.Sprintf("m%d", n), User: "alice", Places: []trace.Place{{Cursor: at(n).String(), To: to}},
	})
	if err != nil {
		t.Fatal(err)
	}
	body, err := p.registry.AnswerTrace(t.Context(), q)
	if err == nil {
		err = json.Unmarshal(body, &a)
	}
	if err != nil || len(a.Places) != 1 {
		t.Fatalf("%s: %v", body, err)
	}
	return a
}

// fates returns the state and the fates of the nth message.
func (p *plane) fates(t testing.TB, n int, to ...string) string {
	t.Helper()
	seen := p.traced(t, n, to...).Places[0]
	all := []string{}
	for _, s := range seen.Of {
		all = append(all, string(s.Fate))
	}
	slices.Sort(all)
	return string(seen.State) + ": " + strings.Join(all, ", ")
}

func (p *plane) wantFates(t testing.TB, want string, n int, to ...string) {
	t.Helper()
	if got := p.fates(t, n, to...); got != want {
		t.Errorf("message %d: %s, want %s", n, got, want)
	}
}

func TestTraceNamesSessionsThatAreThereAndThatHaveEnded(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	phone, laptop := p.begin(t, "alice", "systems=chat&rooms=chat/ops"), p.begin(t, "alice", "systems=chat,orders")
	p.begin(t, "bob", "systems=chat")
	p.bus.deliver("chat", "user:alice") // 1
	p.bus.deliver("chat", "room:ops")   // 2
	p.bus.deliver("chat", "user:bob")   // 3
	p.wantFates(t, "read: written, written", 1, "user:alice")
	p.wantFates(t, "read: not_in_room, written", 2, "room:ops")
	p.wantFates(t, "read: not_addressed, not_addressed", 3, "user:bob")

	phone.unwritten = [][]byte{frameOf("orders", 1, at(1)), frameOf("chat", 2, at(2))}
	p.wantFates(t, "read: written, written", 1, "user:alice")
	p.wantFates(t, "read: not_in_room, offered", 2, "room:ops")
	phone.Leave() // its connection is being closed
	p.wantFates(t, "read: not_in_room, offered", 2, "room:ops")
	phone.End(session.CloseAbnormal)
	p.bus.deliver("chat", "*") // 4
	p.wantFates(t, "read: written, written", 1, "user:alice")
	p.wantFates(t, "read: ended_before_written, not_in_room", 2, "room:ops")
	p.wantFates(t, "read: not_attached_then, written", 4, "*")

	laptop.Keep(func(a *session.Attachment) bool { return a.System() == system("orders") })
	p.bus.deliver("chat", "*") // 5
	p.wantFates(t, "read: not_attached_then, not_attached_then", 5, "*")
	p.wantFates(t, "read: not_attached_then, written", 4, "*")

	for _, s := range p.traced(t, 1, "user:alice").Places[0].Of {
		ended := s.Session == phone.ID
		if s.Ended.IsZero() == ended || ended && s.Code != session.CloseAbnormal {
			t.Errorf("%+v", s)
		}
		if since := time.Since(s.Connected); since < -time.Second || since > time.Hour || s.Address == "" {
			t.Errorf("connected %v ago, from %q", since, s.Address)
		}
	}
}

// Where the last messages begin, the client has not said that it has had those before.
func TestTraceOfMessagesBeforeTheLastOnes(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{History: &shelf{}})
	p.begin(t, "bob", "systems=chat") // so that the system is open
	for range 3 {
		p.bus.deliver("chat", "user:alice")
	}
	p.begin(t, "alice", "systems=chat&last=chat:2")
	p.wantFates(t, "read: not_attached_then", 1, "user:alice")
	p.wantFates(t, "read: written", 2, "user:alice")
	p.begin(t, "alice", "systems=chat&resume=chat:"+at(1).String())
	p.wantFates(t, "read: acked, not_attached_then", 1, "user:alice")
	p.wantFates(t, "read: written, written", 2, "user:alice")
}

func TestTraceOfClientsWhoseMessagesDoNotSayWhoTheyAre(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	plain := p.begin(t, "alice", "systems=chat")
	p.bus.deliver("chat", "user:alice")
	plain.unwritten = [][]byte{[]byte("{}")}
	p.wantFates(t, "read: offered", 1, "user:alice")
	plain.End(session.CloseAbnormal)
	p.wantFates(t, "read: unknown", 1, "user:alice")
}

// During a join with a cursor messages have none of their own.
func TestTraceOfUnwrittenMessagesWithoutCursors(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	alice := p.begin(t, "alice", "systems=chat")
	p.bus.deliver("chat", "user:alice")
	p.bus.deliver("chat", "user:alice")
	alice.unwritten = [][]byte{frameOf("chat", 1, domain.Cursor{}), frameOf("chat", 2, at(2))}
	p.wantFates(t, "read: offered", 1, "user:alice")
	alice.End(1000)
	p.wantFates(t, "read: unknown", 1, "user:alice")
	p.wantFates(t, "read: ended_before_written", 2, "user:alice")
}

func TestOnlyTheNewestEndedSessionsAreRemembered(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{Ended: 3, SessionsPerUser: 100})
	p.begin(t, "alice", "systems=chat").End(1000)
	p.bus.deliver("chat", "user:alice")
	if a := p.traced(t, 1, "user:alice"); len(a.Places[0].Of) != 1 || !a.Ended.IsZero() || a.More {
		t.Errorf("%+v", a)
	}
	for range 4 {
		p.begin(t, "alice", "systems=chat").End(1000)
	}
	if a := p.traced(t, 1, "user:alice"); len(a.Places[0].Of) != 3 || a.Ended.IsZero() || a.More {
		t.Errorf("%+v", a)
	}
	for range trace.MaxSessions + 1 {
		p.begin(t, "alice", "systems=chat")
	}
	if a := p.traced(t, 1, "user:alice"); len(a.Places[0].Of) != trace.MaxSessions || !a.More {
		t.Errorf("%d sessions, more: %v", len(a.Places[0].Of), a.More)
	}
}

func TestTraceAnswersWhatIsNoQuestion(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	for name, q := range map[string]string{
		"no JSON": `{`, "a bad cursor": `{"system":"chat","places":[{"cursor":"x"}]}`,
		"a bad target": `{"system":"chat","places":[{"to":["x"]}]}`,
		"another one":  `{"system":"chat","places":[{"duplicate_of":"x"}]}`,
		"too many":     `{"system":"chat","places":[` + strings.TrimSuffix(strings.Repeat(`{},`, trace.MaxPlaces+1), ",") + `]}`,
	} {
		if body, err := p.registry.AnswerTrace(t.Context(), []byte(q)); err == nil {
			t.Errorf("%s: %s", name, body)
		}
	}
	body, err := p.registry.AnswerTrace(t.Context(), []byte(`{"system":"chat","id":"x","places":[{}]}`))
	if err != nil || string(body) != `{"reads":false}` {
		t.Errorf("of a system that is not read: %s %v", body, err)
	}
	p.begin(t, "alice", "systems=chat")
	body, err = p.registry.AnswerTrace(t.Context(), []byte(`{"system":"chat","id":"x","places":[{}]}`))
	if err != nil || !strings.Contains(string(body), `"state":"unknown"`) {
		t.Errorf("of no place: %s %v", body, err)
	}
}

// BenchmarkEndedSession says how many bytes a session takes that has ended.
func BenchmarkEndedSession(b *testing.B) {
	const sessions = 10_000
	for range b.N {
		p := newPlane(b, bearers{}, session.Config{SessionsPerUser: sessions})
		before := heap()
		for range sessions {
			p.begin(b, "alice", "systems=chat").End(1000)
		}
		b.ReportMetric(float64(heap()-before)/sessions, "B/session")
		runtime.KeepAlive(p)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// An acknowledgement is for what wants one, and in the session that it came in.
func TestTraceSaysWhatWasAcknowledged(t *testing.T) {
	l := newLane(t)
	alice, phone := l.begin("alice", ""), l.begin("alice", "")
	for n := 1; n <= 3; n++ {
		l.send(n, "user:alice", n != 2, false)
	}
	alice.write()
	phone.write()
	alice.ack(2)
	check := func(want ...string) {
		t.Helper()
		for i, want := range want {
			a, err := l.registry.Trace(trace.Question{System: "chat", ID: fmt.Sprint("m", i+1), User: "alice", Places: []trace.Place{
				{Cursor: cursorOf(i + 1).String(), To: []string{"user:alice"}, Receipt: i != 1},
			}})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, told := range a.Places[0].Of {
				if told.Session == alice.ID {
					got += string(told.Fate)
				} else if told.Fate != trace.Written {
					t.Errorf("message %d on the phone: %s", i+1, told.Fate)
				}
			}
			if got != want {
				t.Errorf("message %d: %s, want %s", i+1, got, want)
			}
		}
	}
	check("acked", "written", "written")
	alice.ack(9)
	check("acked", "written", "acked")
	alice.End(1000)
	check("acked", "written", "acked")
	phone.End(1000)
}
