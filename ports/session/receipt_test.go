package session_test

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A reader is a client whose port writes what it is offered when the test wants it.
type reader struct {
	*listener
	notes []*stream.Note // of what was offered and is not written
}

func (r *reader) OfferNoted(a *session.Attachment, f stream.Frame, n *stream.Note) bool {
	if !r.listener.Offer(a, f) {
		return false
	}
	r.notes = append(r.notes, n)
	return true
}

// write writes what was offered.
func (r *reader) write() {
	for _, n := range r.notes {
		r.Wrote(n)
	}
	r.notes = nil
}

func (r *reader) ack(at int) { r.Find(system("chat")).Ack(cursorOf(at)) }

func position(at int) domain.Position { return domain.Position(fmt.Sprintf("%06d", at)) }

func cursorOf(at int) domain.Cursor { return domain.Cursor{Log: 7, Position: position(at)} }

// A lane is a system on which messages want receipts.
type lane struct {
	*plane
	t *testing.T
}

func newLane(t *testing.T) *lane {
	return &lane{newPlane(t, bearers{}, session.Config{}), t}
}

func (l *lane) begin(user, query string) *reader {
	l.t.Helper()
	s, err := l.open(user, "systems=chat"+query)
	if err != nil {
		l.t.Fatal(err)
	}
	r := &reader{listener: &listener{Session: s}}
	s.Begin(r)
	return r
}

// send publishes a message. An old one is past its ttl.
func (l *lane) send(at int, to string, receipt, old bool) {
	target, err := domain.ParseTarget(to)
	if err != nil {
		l.t.Fatal(err)
	}
	m := &domain.Message{ID: fmt.Sprint("m", at), To: []domain.Target{target}, Data: []byte("1"), ContentType: domain.JSON, Receipt: receipt}
	e := &domain.Entry{Position: position(at), Time: time.Now()}
	if old {
		m.TTL, e.Time = time.Second, time.Now().Add(-time.Hour)
	}
	l.bus.streams[system("chat")].Step(e, m)
}

// gap tells the system that continuity was lost.
func (l *lane) gap(at int) {
	l.bus.streams[system("chat")].Step(&domain.Entry{Kind: domain.Gap, Reason: domain.Trimmed, Log: 7, Position: position(at)}, nil)
}

// wants checks what became of messages in the sessions that a target stands for.
func (l *lane) wants(to string, want map[int]string) {
	l.t.Helper()
	target, err := domain.ParseTarget(to)
	if err != nil {
		l.t.Fatal(err)
	}
	for at, fates := range want {
		got := ""
		l.registry.Deliveries(system("chat"), domain.Location{Log: 7, Position: position(at)}, target, func(d control.Delivery) {
			got += " " + string(d.Fate)
		})
		if got != "" {
			got = got[1:]
		}
		if got != fates {
			l.t.Errorf("%s, message %d: %q, want %q", to, at, got, fates)
		}
	}
}

// marks returns the marks that have changed.
func (l *lane) marks() []control.Mark {
	all, _ := l.registry.Marks(100)
	return all
}

func TestWhatBecomesOfMessagesThatWantReceipts(t *testing.T) {
	l := newLane(t)
	alice := l.begin("alice", "")
	l.send(1, "user:alice", true, false)
	l.send(2, "user:alice", false, false)
	l.send(3, "user:alice", true, false)
	l.wants("user:alice", map[int]string{1: "pending", 3: "pending", 4: "pending"})
	alice.ack(1)
	alice.write()
	l.wants("user:alice", map[int]string{1: "acked", 3: "written"})
	alice.ack(2) // of a message that wants no receipt, and up to there everything counts
	alice.ack(1)
	alice.ack(99) // nobody has given it that
	l.wants("user:alice", map[int]string{1: "acked", 3: "acked"})
	l.send(4, "user:alice", true, false)
	alice.write()
	l.wants("user:alice", map[int]string{3: "acked", 4: "written"})

	l.gap(6)
	l.send(7, "user:alice", true, false)
	l.send(8, "user:alice", true, true) // past its ttl
	l.send(9, "user:alice", true, false)
	alice.write()
	alice.ack(9)
	l.wants("user:alice", map[int]string{4: "acked", 5: "gap", 6: "gap", 7: "acked", 8: "expired", 9: "acked"})
	l.wants("user:bob", map[int]string{7: ""})
}

// Marks are told of sessions that were given such messages, and of no others.
func TestMarksThatHaveChangedAreToldOnce(t *testing.T) {
	l := newLane(t)
	alice, bob := l.begin("alice", ""), l.begin("bob", "")
	l.send(1, "*", false, false)
	l.gap(2)
	if got := l.marks(); len(got) != 0 {
		t.Errorf("told %+v", got)
	}
	l.send(3, "user:alice", true, false)
	alice.write()
	if got := l.marks(); len(got) != 1 || got[0].User != "alice" || got[0].Written != position(3) || got[0].Acked != "" {
		t.Errorf("told %+v", got)
	}
	if got := l.marks(); len(got) != 0 {
		t.Errorf("told again %+v", got)
	}
	l.send(4, "user:alice", true, false)
	l.send(5, "user:bob", true, false)
	alice.Leave()
	alice.write() // the writer ends after the session has left
	alice.End(0)
	got := l.marks()
	if len(got) != 2 || got[0].User != "alice" || got[0].Ended == 0 || got[0].Until != position(5) || got[0].Written != position(4) {
		t.Fatalf("told %+v", got)
	}
	if fate, _ := got[0].Fate(domain.Location{Log: 7, Position: position(2)}); fate != control.FateGap {
		t.Errorf("the gap before the first message is %q", fate)
	}
	bob.End(0)
}

func TestReceiptsOfSessionsThatFallBehindOrResume(t *testing.T) {
	l := newLane(t)
	alice := l.begin("alice", "")
	l.send(1, "user:alice", true, false)
	alice.setFull(true)
	l.send(2, "user:alice", true, false)
	l.wants("user:alice", map[int]string{1: "pending", 2: "pending"})
	alice.write()
	alice.ack(2)
	l.wants("user:alice", map[int]string{1: "acked", 2: "pending"})
	alice.listener.mu.Lock()
	alice.full = false
	alice.listener.mu.Unlock()
	alice.Fill()
	alice.write()
	l.wants("user:alice", map[int]string{1: "acked", 2: "written"})
	late := l.begin("alice", "")
	again := l.begin("alice", "&resume=chat:"+cursorOf(1).String())
	again.write()
	l.wants("user:alice", map[int]string{1: "acked", 2: "written written"})
	for _, r := range []*reader{alice, late, again} {
		r.End(0)
	}
}

func TestReceiptsOfRooms(t *testing.T) {
	l := newLane(t)
	alice, bob := l.begin("alice", "&rooms=chat/lobby"), l.begin("bob", "")
	l.send(1, "room:lobby", true, false)
	bob.Find(system("chat")).Join(room("lobby"))
	l.send(2, "room:lobby", true, false)
	alice.write()
	bob.write()
	l.wants("room:lobby", map[int]string{1: "written", 2: "written written"})
	bob.Find(system("chat")).Leave(room("lobby"))
	l.wants("room:lobby", map[int]string{2: "written"})
	l.wants("session:"+alice.ID, map[int]string{2: "written"})
	alice.End(0)
	bob.End(0)
}

// A bus that was made again has another log, of which the old positions say nothing.
func TestMarksBeginAnewInAnotherLog(t *testing.T) {
	l := newLane(t)
	alice := l.begin("alice", "")
	l.send(1, "user:alice", true, false)
	alice.write()
	alice.ack(1)
	l.bus.streams[system("chat")].Step(&domain.Entry{Kind: domain.Gap, Reason: domain.Lossy, Log: 8, Position: position(5)}, nil)
	l.send(6, "user:alice", true, false)
	alice.ack(9) // in the old log
	alice.write()
	got := l.marks()
	if len(got) != 1 || got[0].Log != 8 || got[0].Written != position(6) || got[0].Acked != "" {
		t.Errorf("told %+v", got)
	}
	for at, want := range map[int]control.Fate{5: control.FateUnknown, 6: control.FateWritten} {
		if fate, _ := got[0].Fate(domain.Location{Log: 8, Position: position(at)}); fate != want {
			t.Errorf("message %d: %q, want %q", at, fate, want)
		}
	}
	alice.End(0)
}

// Without a control plane nobody asks for marks, and none may pile up.
func TestMarksAreNotKeptWithoutAControlPlane(t *testing.T) {
	l := newLane(t)
	hub := stream.NewHub(l.bus, stream.HubConfig{Any: true})
	var err error
	if l.registry, err = session.New(hub, bearers{}, session.Config{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	alice := l.begin("alice", "")
	l.send(1, "user:alice", true, false)
	alice.write()
	alice.ack(1)
	l.wants("user:alice", map[int]string{1: "acked"})
	if got := l.marks(); len(got) != 0 {
		t.Errorf("it keeps %+v", got)
	}
	alice.End(0)
}

// A session that is behind learns of an expired message at once, and of older ones later.
func TestExpiredMessagesOfASessionThatIsBehindAreNotAcknowledged(t *testing.T) {
	synctest.Test(t, testExpiredBehind)
}

func testExpiredBehind(t *testing.T) {
	l := newLane(t)
	alice := l.begin("alice", "")
	l.send(1, "user:alice", true, false)
	alice.setFull(true)
	l.expiring(2, "user:alice")
	l.send(3, "user:alice", true, false)
	l.send(4, "user:alice", true, true)
	alice.listener.mu.Lock()
	alice.full = false
	alice.listener.mu.Unlock()
	time.Sleep(2 * time.Second) // the second message is past its ttl
	alice.Fill()
	l.send(5, "user:alice", true, false)
	alice.write()
	alice.ack(5)
	l.wants("user:alice", map[int]string{1: "acked", 2: "expired", 3: "acked", 4: "expired", 5: "acked"})
	alice.End(0)
}

// expiring publishes a message whose ttl is about to be over.
func (l *lane) expiring(at int, to string) {
	target, err := domain.ParseTarget(to)
	if err != nil {
		l.t.Fatal(err)
	}
	m := &domain.Message{ID: fmt.Sprint("m", at), To: []domain.Target{target}, Data: []byte("1"), ContentType: domain.JSON, Receipt: true, TTL: time.Second}
	l.bus.streams[system("chat")].Step(&domain.Entry{Position: position(at), Time: time.Now()}, m)
}

// Between the end of a session and the moment in which its mark is told nothing is forgotten.
func TestEndedSessionsAreKnownUntilTheirMarksAreTold(t *testing.T) {
	l := newLane(t)
	alice := l.begin("alice", "&rooms=chat/lobby")
	l.send(1, "user:alice", true, false)
	l.send(2, "user:alice", true, false)
	alice.write()
	alice.ack(1)
	l.marks()
	alice.Leave()
	l.wants("user:alice", map[int]string{1: "acked", 2: "written", 3: ""})
	alice.End(0)
	l.wants("user:alice", map[int]string{1: "acked", 2: "written", 3: ""})
	l.wants("*", map[int]string{1: "acked"})
	l.wants("session:"+alice.ID, map[int]string{2: "written"})
	l.wants("user:bob", map[int]string{1: ""})
	l.wants("room:lobby", map[int]string{1: ""})
	if got := l.marks(); len(got) != 1 || got[0].Ended == 0 {
		t.Errorf("told %+v", got)
	}
	l.wants("user:alice", map[int]string{1: ""})
}
