package session_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// sessionsOf returns what the registry answers about a user.
func (p *plane) sessionsOf(t *testing.T, user string) (of control.Sessions, size int) {
	t.Helper()
	question, err := json.Marshal(control.SessionsOf{User: user})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := p.registry.AnswerSessions(t.Context(), question)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(answer, &of); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	return of, len(answer)
}

func TestSessionsOfAUserAreDescribed(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{Node: "n1"})
	began := time.Now().Truncate(time.Millisecond)
	p.SetMember(system("chat"), "lobby", "alice", true)
	phone := p.begin(t, "alice", "systems=chat,orders&rooms=orders/desk")
	laptop := p.begin(t, "alice", "systems=chat")
	p.begin(t, "bob", "systems=chat")
	p.bus.deliver("chat", "user:alice")
	laptop.full = true
	p.bus.deliver("chat", "user:alice")

	of, _ := p.sessionsOf(t, "alice")
	if len(of.Sessions) != 2 || of.More != 0 {
		t.Fatalf("%+v", of)
	}
	first, second := of.Sessions[0], of.Sessions[1]
	if first.ID != phone.ID || first.Node != "n1" || first.Port != "ws" || first.Address != "192.0.2.1" ||
		first.Connected.Before(began) || first.Connected.After(time.Now()) || first.Going || !first.Expires.IsZero() {
		t.Errorf("%+v", first)
	}
	if len(first.Systems) != 2 || first.Systems[0].State != stream.Live || first.Systems[0].Cursor == "" ||
		fmt.Sprint(first.Systems[0].Assigned, first.Systems[1].Rooms) != "[lobby] [desk]" {
		t.Errorf("%+v", first.Systems)
	}
	if second.ID != laptop.ID || second.Systems[0].State != stream.Behind ||
		second.Systems[0].Cursor == first.Systems[0].Cursor || second.Systems[0].Cursor == "" {
		t.Errorf("%+v", second)
	}
	laptop.full = false
	laptop.Fill()
	phone.SetExpiry(began.Add(time.Hour))
	of, _ = p.sessionsOf(t, "alice")
	if of.Sessions[1].Systems[0].Cursor != first.Systems[0].Cursor || of.Sessions[1].Systems[0].State != stream.Live ||
		!of.Sessions[0].Expires.Equal(began.Add(time.Hour)) {
		t.Errorf("%+v", of)
	}
	phone.End(0)
	laptop.End(0)
	if of, _ = p.sessionsOf(t, "alice"); of.Sessions == nil || len(of.Sessions) != 0 {
		t.Errorf("%+v", of)
	}
	if _, err := p.registry.AnswerSessions(t.Context(), []byte("[]")); err == nil {
		t.Error("a malformed question was answered")
	}
}

func TestAnAnswerAboutSessionsHasRoomInAMessage(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{SessionsPerUser: 100, Rooms: 1000})
	rooms := make([]string, 40)
	for i := range rooms {
		rooms[i] = fmt.Sprintf("chat/%03d%s", i, strings.Repeat("<", 250))
		p.SetMember(system("chat"), fmt.Sprintf("%03d%s", i, strings.Repeat("&", 250)), "alice", true)
	}
	for range 50 {
		p.begin(t, "alice", "systems=chat&rooms="+strings.Join(rooms, ","))
	}
	of, size := p.sessionsOf(t, "alice")
	if size > control.MaxBody || len(of.Sessions) == 0 || len(of.Sessions)+of.More != 50 {
		t.Errorf("%d bytes, %d sessions and %d more", size, len(of.Sessions), of.More)
	}
	if first := of.Sessions[0].Systems[0]; len(first.Rooms) != 20 || len(first.Assigned) != 20 || first.More != 40 {
		t.Errorf("%d rooms, %d assigned, %d more", len(first.Rooms), len(first.Assigned), first.More)
	}
}

func TestSessionsAreLogged(t *testing.T) {
	var out bytes.Buffer
	p := newLoggingPlane(t, bearers{}, session.Config{Node: "n1"}, slog.NewTextHandler(&out, nil))
	l := p.begin(t, "alice", "systems=chat")
	want := `level=INFO msg="a session was opened" user=alice session=` + l.ID + ` node=n1 address=192.0.2.1 port=ws` + "\n"
	if got := out.String(); !strings.HasSuffix(got, want) {
		t.Errorf("logged %q, want %q", got, want)
	}
	out.Reset()
	l.End(session.CloseSlow)
	if got := out.String(); !strings.Contains(got, `msg="a session was closed" user=alice session=`+l.ID) ||
		!strings.Contains(got, "node=n1 address=192.0.2.1 port=ws code=4008 reason=slow after=") {
		t.Errorf("logged %q", got)
	}
	out.Reset()
	s, err := p.open("alice", "systems=chat")
	if err != nil {
		t.Fatal(err)
	}
	s.End(0) // it has not begun
	if out.Len() > 0 {
		t.Errorf("logged %q", &out)
	}
	quiet := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})
	p = newLoggingPlane(t, bearers{}, session.Config{}, quiet)
	p.begin(t, "alice", "systems=chat").End(1000)
	if out.Len() > 0 {
		t.Errorf("at the level warn: logged %q", &out)
	}
}
