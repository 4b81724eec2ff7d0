package session_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

func FuzzCursorIsFoundInEveryFrame(f *testing.F) {
	f.Add("id", "pos", []byte(`{"cursor":"no"}`))
	f.Add(`","cursor":"forged",`, "\x00", []byte(`1`))
	f.Add(`\`, "", []byte(`1`))
	f.Add(``, "", []byte(`1`))
	f.Fuzz(func(t *testing.T, id, position string, data []byte) {
		m := &domain.Message{ID: id, Data: data, ContentType: domain.Binary}
		at := domain.Cursor{Log: 1, Position: domain.Position(position[:min(len(position), domain.MaxPosition)])}
		enc := session.V1Encoder{}
		for _, frame := range [][]byte{
			enc.Message(system("orders"), m, domain.Everyone, at).Bytes,
			enc.Gap(system("orders"), domain.GapReason(id), at).Bytes,
			session.CursorNotice(system("orders"), at),
		} {
			if got := session.CursorIn(frame); string(got) != at.String() {
				t.Fatalf("%q in %s, want %q", got, frame, at.String())
			}
		}
		for _, frame := range [][]byte{
			enc.Message(system("orders"), m, domain.Everyone, domain.Cursor{}).Bytes,
			enc.Gap(system("orders"), domain.GapReason(id), domain.Cursor{}).Bytes,
		} {
			if got := session.CursorIn(frame); got != nil {
				t.Fatalf("%q in %s, want none", got, frame)
			}
		}
		session.CursorIn(data)
	})
}

func TestOpsWithoutACursorHaveNone(t *testing.T) {
	for _, op := range []string{`{"op":"bus","up":false}`, `{"op":"goaway","retry_ms":5}`, ``, `{"op":"hello","session":"s","node":"n","user":"u"`} {
		if got := session.CursorIn([]byte(op)); got != nil {
			t.Errorf("%q in %s", got, op)
		}
	}
}
