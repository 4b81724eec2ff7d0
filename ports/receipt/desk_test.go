package receipt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/receipt"
)

// A world is what a Desk sees of its node and of the others.
type world struct {
	orders domain.System
	stream *stream.Stream // of the bus, once it is open
	hub    *stream.Hub

	mu      sync.Mutex
	answers control.Answers // of other nodes; guarded by mu
	asked   int             // guarded by mu
	marks   []knownMark     // guarded by mu
	lost    []string
	here    []control.Delivery // of this node's sessions
}

type knownMark struct {
	control.Mark
	mine, alive bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	orders, err := domain.ParseSystem("orders")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{orders: orders, answers: control.Answers{Complete: true}}
	w.hub = stream.NewHub(w, stream.HubConfig{Any: true})
	return w
}

func (w *world) desk(waits int) *receipt.Desk {
	return receipt.New(w, w.hub, w, w, w, receipt.Config{Node: "n0", Waits: waits})
}

func (w *world) Open(s *stream.Stream) error {
	w.stream = s
	s.Step(&domain.Entry{Kind: domain.Start, Log: 7, Position: place(0)}, nil)
	return nil
}

func (w *world) Close(*stream.Stream) {}

func (w *world) Find(context.Context, domain.System, string) ([]stream.Found, bool, error) {
	again := stream.Found{Cursor: at(9), Message: message("bob"), DuplicateOf: at(5)}
	return []stream.Found{again, {Cursor: at(5), Message: message("alice")}}, true, nil
}

func (w *world) Deliveries(_ domain.System, _ domain.Location, _ domain.Target, yield func(control.Delivery)) {
	for _, d := range w.here {
		yield(d)
	}
}

func (w *world) Ask(context.Context, string, []byte) (control.Answers, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	return w.answers, nil
}

func (w *world) Marks(_ domain.System, user string, yield func(*control.Mark, bool, bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.marks {
		if m := &w.marks[i]; user == "" || m.User == user {
			yield(&m.Mark, m.mine, m.alive)
		}
	}
}

func (w *world) Hurry(domain.System, string, time.Duration) {}
func (w *world) Lost(int64) []string                        { return w.lost }
func (w *world) Changed() <-chan struct{}                   { return nil }

func place(n int) domain.Position { return domain.Position(fmt.Sprintf("%08d", n)) }

func at(n int) domain.Cursor {
	return domain.Cursor{Log: 7, Position: place(n), Time: time.UnixMilli(int64(1_800_000_000_000 + n))}
}

func message(user string) *domain.Message {
	to, err := domain.UserTarget(user)
	if err != nil {
		panic(err)
	}
	return &domain.Message{ID: "m", To: []domain.Target{to}, Receipt: true}
}

// says adds the answer of a node: where the message is on it, and what its sessions have.
func (w *world) says(node, cursor string, sessions ...control.SessionReport) {
	counts := map[control.Fate]int{}
	for _, s := range sessions {
		counts[s.State]++
	}
	body, err := json.Marshal(map[string]any{"at": cursor, "targets": []any{map[string]any{"counts": counts, "sessions": sessions}}})
	if err != nil {
		panic(err)
	}
	w.answers.From = append(w.answers.From, control.Answer{Node: node, Incarnation: "i-" + node, Body: body})
}

// knows adds the mark of a session of a node: what it was offered, and what it has acknowledged.
func (w *world) knows(node, session string, acked, written int, alive bool) {
	w.marks = append(w.marks, knownMark{alive: alive, Mark: control.Mark{
		Session: session, User: "alice", System: w.orders, Node: node, Incarnation: "i-" + node,
		Log: 7, From: place(1), Offered: place(8), Written: place(written), Acked: place(acked),
	}})
}

// summary returns a report in short: the state of its first target, and those of its sessions.
func summary(r *control.ReceiptReport) string {
	text := fmt.Sprint(r.Receipts[0].State)
	for _, s := range r.Receipts[0].Sessions {
		text += fmt.Sprintf(" %s:%s", s.Session, s.State)
	}
	return fmt.Sprint(text, " ", r.Complete)
}

func TestReportPutsTogetherWhatNodesAndMarksSay(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*world)
		want string
	}{
		"nobody": {func(*world) {}, "no_session true"},
		"a node has answered": {func(w *world) {
			w.says("n1", at(5).String(), control.SessionReport{Session: "a", State: control.FateAcked})
			w.knows("n1", "a", 1, 1, true) // older than the answer
		}, "acked a:acked true"},
		"a node is silent": {func(w *world) {
			w.answers.Complete, w.answers.Silent = false, []string{"n1"}
		}, "unknown false"},
		"a node has answered something else": {func(w *world) {
			w.answers.From = []control.Answer{{Node: "n1", Incarnation: "i-n1", Body: []byte(`{"at":"","targets":[]}`)}}
		}, "unknown false"},
		"a node could not answer": {func(w *world) {
			w.answers.From = []control.Answer{{Node: "n1", Incarnation: "i-n1", Err: "no"}}
		}, "unknown false"},
		"a node died": {func(w *world) { w.lost = []string{"n1"} }, "unknown false"},
		"marks of a dead node": {func(w *world) {
			w.knows("n1", "a", 5, 5, false)
			w.knows("n1", "b", 4, 5, false)
			w.knows("n1", "c", 3, 4, false) // it may have been written later
		}, "acked a:acked b:written c:unknown true"},
		"a mark of a dead node in another log": {func(w *world) {
			w.knows("n1", "a", 8, 8, false)
			w.marks[0].Log = 8
		}, "unknown a:unknown true"},
		"sessions here, also ended ones": {func(w *world) {
			w.here = []control.Delivery{{Mark: control.Mark{Session: "a"}, Fate: control.FatePending}}
			w.knows("n0", "b", 5, 5, true)
			w.knows("n0", "c", 5, 5, true)
			w.marks[0].mine, w.marks[1].mine = true, true
			w.marks[0].Ended, w.marks[0].Until = 1, place(8)
			answer, err := w.desk(0).Answer(t.Context(), []byte(`{"system":"orders","id":"m","at":"`+at(5).String()+`","to":["user:alice"],"limit":100}`))
			if err != nil {
				t.Error(err)
			}
			w.answers.From = []control.Answer{{Node: "n0", Incarnation: "i-n0", Body: answer}}
		}, "acked a:pending b:acked true"},
	} {
		w := newWorld(t)
		c.set(w)
		r, found, err := w.desk(0).Receipts(t.Context(), w.orders, "m", "", 100)
		if err != nil || !found || r.Receipts[0].To != "user:alice" || summary(&r) != c.want {
			t.Errorf("%s: %v %v %s, want %s", name, found, err, summary(&r), c.want)
		}
	}
}

func TestReportHasPages(t *testing.T) {
	w := newWorld(t)
	var all, want []string
	for i := range 25 {
		id := fmt.Sprintf("s%02d", i)
		w.knows(fmt.Sprint("n", i%2), id, 5, 5, false)
		want = append(want, id)
	}
	for after, pages := "", 0; pages < 10; pages++ {
		r, _, err := w.desk(0).Receipts(t.Context(), w.orders, "m", after, 10)
		if err != nil || r.Receipts[0].Counts[control.FateAcked] != 25 || len(r.Receipts[0].Sessions) > 10 {
			t.Fatalf("%+v %v", r, err)
		}
		for _, s := range r.Receipts[0].Sessions {
			all = append(all, s.Session)
		}
		if after = r.Receipts[0].Next; after == "" {
			break
		}
	}
	if !slices.Equal(all, want) {
		t.Errorf("the pages have %v", all)
	}
}

func TestAnswerRefusesWhatIsNoQuestion(t *testing.T) {
	d := newWorld(t).desk(0)
	for _, body := range []string{``, `[]`, `{}`, `{"system":"orders","at":"x"}`, `{"system":"orders","at":"` + at(5).String() + `","to":["nobody"]}`} {
		if answer, err := d.Answer(t.Context(), []byte(body)); err == nil {
			t.Errorf("%s is answered %s", body, answer)
		}
	}
}

func TestWaitsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := w.desk(2)
		room, err := domain.RoomTarget("lobby")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, _, err := d.Expect(t.Context(), w.orders, &domain.Message{ID: "r", To: []domain.Target{room}}); !errors.Is(err, domain.ErrInvalid) {
				t.Fatalf("for a room: %v", err)
			}
		}
		for range 3 { // what is done leaves room
			var done [2]func()
			for i := range done {
				m := message("alice")
				m.ID = fmt.Sprint("m", i)
				if _, done[i], err = d.Expect(t.Context(), w.orders, m); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := d.Expect(t.Context(), w.orders, message("alice")); !errors.Is(err, domain.ErrLimit) {
				t.Fatalf("one too many: %v", err)
			}
			done[0]()
			done[1]()
		}
	})
}

// On a bus without a log a node may never read the message, and a client may never acknowledge
// it: the wait ends in time, and few questions are asked.
func TestWaitForAClientThatNeverAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.says("n1", "")
		w.here = []control.Delivery{{Mark: control.Mark{Session: "a"}, Fate: control.FateWritten}}
		m := message("alice")
		wait, done, err := w.desk(0).Expect(t.Context(), w.orders, m)
		if err != nil {
			t.Fatal(err)
		}
		w.stream.Step(&domain.Entry{Position: place(1), Time: time.Now()}, m)
		began := time.Now()
		r := wait(t.Context(), control.FateAcked, time.Minute)
		if took := time.Since(began); took != receipt.MaxWait {
			t.Errorf("it took %v", took)
		}
		done()
		if w.asked > 30 {
			t.Errorf("it has asked %d times", w.asked)
		}
		if got := summary(&r); r.Receipts[0].State == control.FateAcked {
			t.Errorf("it says %s", got)
		}
	})
}
