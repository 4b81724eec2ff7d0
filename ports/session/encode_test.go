package session_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

var cursorAt5 = domain.Cursor{Log: 7, Position: "0000000000050", Time: time.UnixMilli(1_700_000_000_123), ID: 99}

func TestV1Frames(t *testing.T) {
	at := `"cursor":"` + cursorAt5.String() + `"`
	when := time.Date(2026, 1, 2, 3, 4, 5, 67_890_000, time.FixedZone("x", 3600))
	for _, test := range []struct {
		name string
		m    domain.Message
		want string
	}{
		{"everything", domain.Message{ID: "i", Type: "t", From: "bob", Time: when, Headers: map[string]string{"b": "2", "a": "1"},
			Data: []byte(`{"n":1}`), ContentType: domain.JSON},
			`{"op":"message","system":"orders","id":"i",` + at + `,"to":"user:alice","from":"bob","type":"t","time":"2026-01-02T02:04:05.067Z","headers":{"a":"1","b":"2"},"data":{"n":1}}`},
		{"as little as can be", domain.Message{ID: "i", ContentType: domain.JSON},
			`{"op":"message","system":"orders","id":"i",` + at + `,"to":"user:alice","time":"2023-11-14T22:13:20.123Z"}`},
		{"text", domain.Message{ID: "i", Time: when, Data: []byte("a\"\\\n\r\t\x01é\xff"), ContentType: domain.Text},
			`{"op":"message","system":"orders","id":"i",` + at + `,"to":"user:alice","time":"2026-01-02T02:04:05.067Z","content_type":"text/plain","data":"a\"\\\n\r\t\u0001é` + "\ufffd" + `"}`},
		{"nothing is escaped for HTML", domain.Message{ID: "ä<i>", Type: "t&u", Time: when, Headers: map[string]string{"é<": "\u2028\b"},
			Data: []byte("ä<b>&\u2028\u2029\b\f"), ContentType: domain.Text},
			`{"op":"message","system":"orders","id":"ä<i>",` + at + `,"to":"user:alice","type":"t&u","time":"2026-01-02T02:04:05.067Z",` +
				`"headers":{"é<":"` + "\u2028" + `\u0008"},"content_type":"text/plain","data":"ä<b>&` + "\u2028\u2029" + `\u0008\u000c"}`},
		{"bytes", domain.Message{ID: "i", Time: when, Data: []byte{0, 1, 2}, ContentType: "image/png"},
			`{"op":"message","system":"orders","id":"i",` + at + `,"to":"user:alice","time":"2026-01-02T02:04:05.067Z","content_type":"image/png","data_base64":"AAEC"}`},
		{"JSON that is no UTF-8", domain.Message{ID: "i", Time: when, Data: []byte("\"\xff\""), ContentType: domain.JSON},
			`{"op":"message","system":"orders","id":"i",` + at + `,"to":"user:alice","time":"2026-01-02T02:04:05.067Z","data":"` + "\ufffd" + `"}`},
	} {
		f := session.V1Encoder{}.Message(system("orders"), &test.m, targets("user:alice")[0], cursorAt5)
		if got := string(f.Bytes); got != test.want || f.Binary {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestFramesWithoutACursorHaveNoMember(t *testing.T) {
	m := &domain.Message{ID: "i", Data: []byte(`1`), ContentType: domain.JSON}
	f := session.V1Encoder{}.Message(system("chat"), m, targets("room:lobby")[0], domain.Cursor{})
	if want := `{"op":"message","system":"chat","id":"i","to":"room:lobby","data":1}`; string(f.Bytes) != want {
		t.Errorf("got %s", f.Bytes)
	}
	f = session.V1Encoder{}.Gap(system("chat"), domain.Trimmed, domain.Cursor{})
	if want := `{"op":"gap","system":"chat","reason":"trimmed","after_ms":`; !strings.HasPrefix(string(f.Bytes), want) {
		t.Errorf("got %s", f.Bytes)
	}
}

func TestEncodingTakesOneAllocation(t *testing.T) {
	sys, to := system("orders"), targets("user:alice")[0]
	m := &domain.Message{ID: "01JCXYZ0000000000000000000", Type: "order.paid", ContentType: domain.JSON,
		Data: []byte(`{"n":"` + strings.Repeat("x", 118) + `"}`), Time: time.UnixMilli(1_700_000_000_000)}
	if n := testing.AllocsPerRun(100, func() { frame = session.V1Encoder{}.Message(sys, m, to, cursorAt5).Bytes }); n != 1 {
		t.Errorf("%v allocations", n)
	}
}

var frame []byte

func system(name string) domain.System {
	s, err := domain.ParseSystem(name)
	if err != nil {
		panic(err)
	}
	return s
}

func targets(names ...string) (all []domain.Target) {
	for _, name := range names {
		t, err := domain.ParseTarget(name)
		if err != nil {
			panic(err)
		}
		all = append(all, t)
	}
	return all
}

func FuzzV1FramesAreOneLineOfJSON(f *testing.F) {
	f.Add("id", "bob", "t", "k", "v", []byte("data"), "text/plain", "pos")
	f.Add("\x00\"", "\\", "\xff", "\n", "\u2028", []byte{0xff}, "x", "\x00")
	f.Fuzz(func(t *testing.T, id, from, kind, key, value string, data []byte, contentType, position string) {
		if contentType == domain.JSON && (!json.Valid(data) || strings.ContainsAny(string(data), "\r\n")) {
			return // a valid message holds one line of JSON
		}
		m := &domain.Message{ID: id, From: from, Type: kind, Headers: map[string]string{key: value}, Data: data, ContentType: contentType}
		at := domain.Cursor{Position: domain.Position(position[:min(len(position), domain.MaxPosition)]), Log: 1}
		got := session.V1Encoder{}.Message(system("orders"), m, domain.Everyone, at).Bytes
		var back struct{ ID, From string }
		if !utf8.Valid(got) || strings.ContainsAny(string(got), "\r\n") || json.Unmarshal(got, &back) != nil {
			t.Fatalf("not one line of JSON: %q", got)
		}
		if want := strings.ToValidUTF8(id, "\ufffd"); utf8.ValidString(id) && back.ID != want {
			t.Fatalf("id %q became %q", id, back.ID)
		}
	})
}

// Somebody who reads what is for anybody is told all targets.
func TestAMessageForAnybodyNamesItsTargets(t *testing.T) {
	for want, to := range map[string][]string{
		`"to":"user:alice",`:                {"user:alice"},
		`"to":["user:alice","room:x","*"],`: {"user:alice", "room:x", "*"},
	} {
		m := &domain.Message{ID: "1", To: targets(to...), ContentType: domain.JSON, Data: []byte(`1`)}
		got := string(session.V1Encoder{}.Message(system("orders"), m, domain.Target{}, cursorAt5).Bytes)
		if !strings.Contains(got, want) || !json.Valid([]byte(got)) {
			t.Errorf("%s: got %s", want, got)
		}
	}
}
