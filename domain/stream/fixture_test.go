package stream_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

const logA = domain.LogID(0xA)

// A fixture is a Stream with words to say what a test is about.
type fixture struct {
	*stream.Stream
	t testing.TB
}

func newFixture(t testing.TB, cfg stream.Config) *fixture {
	sys, err := domain.ParseSystem("orders")
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{stream.New(sys, cfg), t}
}

// begun returns a fixture whose bus has confirmed at position 0.
func begun(t testing.TB, cfg stream.Config) *fixture {
	f := newFixture(t, cfg)
	f.start(logA, pos(0), time.Time{})
	return f
}

// deliver puts a message with the id "id-at" on the stream.
func (f *fixture) deliver(at int, data string, to ...string) {
	f.record(pos(at), time.Time{}, message(fmt.Sprint("id-", at), data, to...))
}

// deliver2 puts a message behind deliver's of the same number.
func (f *fixture) deliver2(at, sub int, data string, to ...string) {
	f.record(pos(at)+domain.Position(rune('0'+sub)), time.Time{}, message(fmt.Sprint("id-", at, ".", sub), data, to...))
}

func (f *fixture) cursorAt(at int) domain.Cursor {
	return domain.Cursor{Log: logA, Position: pos(at)}
}

// attach returns a session that is live.
func (f *fixture) attach(to ...string) *session {
	s := f.join(domain.Cursor{}, to...)
	s.Fill()
	return s
}

// attachAt returns a session that resumed and filled.
func (f *fixture) attachAt(to string, since domain.Cursor) *session {
	s := f.hold(to, since)
	s.Fill()
	return s
}

// hold returns a session that was not filled yet.
func (f *fixture) hold(to string, since domain.Cursor) *session { return f.join(since, to) }

func (f *fixture) join(since domain.Cursor, to ...string) *session {
	s := &session{room: 1 << 20}
	targets := make([]domain.Target, len(to))
	for i, t := range to {
		targets[i] = target(t)
	}
	s.Attachment, s.at, s.resumed = f.Attach(stream.Asker{}, s, encoder{s}, since, targets...)
	return s
}

// A session is an Outbox that writes down what it is offered, while it has room.
type session struct {
	*stream.Attachment
	at      domain.Cursor
	resumed bool
	room    int
	frames  []string
	cursors []domain.Cursor
}

func (s *session) Offer(f stream.Frame) bool {
	if s.room == 0 {
		return false
	}
	s.room--
	s.frames = append(s.frames, string(f.Bytes))
	return true
}

func (s *session) got(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, s.frames, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("session got (-want +got):\n%s", diff)
	}
}

func (s *session) gotData(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, f := range s.frames {
		var at, to, data string
		fmt.Sscan(f, &at, &to, &data)
		got = append(got, data)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("session got (-want +got):\n%s", diff)
	}
}

// An encoder writes frames that a person can read. Each session has its own,
// so that it can note the cursors.
type encoder struct{ s *session }

func (e encoder) Message(_ domain.System, m *domain.Message, to domain.Target, at domain.Cursor) stream.Frame {
	e.s.cursors = append(e.s.cursors, at)
	return stream.Frame{Bytes: fmt.Appendf(nil, "%s %s %s", placeName(at), to, m.Data)}
}

func (encoder) Gap(_ domain.System, reason domain.GapReason, at domain.Cursor) stream.Frame {
	return stream.Frame{Bytes: fmt.Appendf(nil, "gap %s %s", reason, placeName(at))}
}

func pos(n int) domain.Position {
	return domain.Position(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// placeName is the position's number, or "-" where there is none.
func placeName(c domain.Cursor) string {
	if c.IsZero() {
		return "-"
	}
	return fmt.Sprint(binary.BigEndian.Uint64([]byte(c.Position)))
}

func target(s string) domain.Target {
	t, err := domain.ParseTarget(s)
	if err != nil {
		panic(err)
	}
	return t
}

func message(id, data string, to ...string) *domain.Message {
	m := &domain.Message{ID: id, Data: []byte(data), ContentType: domain.Text}
	for _, t := range to {
		m.To = append(m.To, target(t))
	}
	return m
}
