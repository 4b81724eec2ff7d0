package session_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

func TestDataComesInTheFormOfItsContentType(t *testing.T) {
	for _, tt := range []struct{ contentType, data, want string }{
		{"application/json; charset=utf-8", `{"n":1}`, `"content_type":"application/json; charset=utf-8","data":{"n":1}}`},
		{"Application/JSON", `1`, `"content_type":"Application/JSON","data":1}`},
		{"application/vnd.x+json", `"\ud83d"`, `"content_type":"application/vnd.x+json","data":"\ud83d"}`},
		{"text/html", `<p>`, `"content_type":"text/html","data":"<p>"}`},
		{"text/plain", ``, `"content_type":"text/plain","data":""}`},
		{"text/html;charset=latin1", "\xe4", `"content_type":"text/html;charset=latin1","data_base64":"5A=="}`},
		{"application/json;charset=utf-16", "\xfe\xff", `"content_type":"application/json;charset=utf-16","data_base64":"/v8="}`},
		{"application/octet-stream", ``, `"content_type":"application/octet-stream","data_base64":""}`},
		{"no type", `1`, `"content_type":"no type","data_base64":"MQ=="}`},
	} {
		var m domain.Message
		if err := m.SetData(tt.contentType, []byte(tt.data)); err != nil {
			t.Fatal(err)
		}
		got := string(session.V1Encoder{}.Message(system("orders"), &m, targets("*")[0], domain.Cursor{}).Bytes)
		if want := `{"op":"message","system":"orders","id":"","to":"*",` + tt.want; got != want {
			t.Errorf("%s:\n got %s\nwant %s", tt.contentType, got, want)
		}
	}
}

// Whatever is in a message, its data adds no members to the op, and no second line.
func TestDataWritesNothingButItself(t *testing.T) {
	for _, contentType := range []string{"application/json", "application/x+json", "Application/X+JSON; a=b", "text/plain", "text/html", "image/png", "", "a\r\nb+json"} {
		for _, data := range []string{`1,"session":"forged"`, `1}`, "1}\n{\"op\":\"goaway\"", "{\n\"a\":1}", "\"\xff\"", "\xff", "", "\r\n\r\ndata: forged", "\"\r\nid: forged\"", strings.Repeat("[", 200) + strings.Repeat("]", 200)} {
			m := &domain.Message{ID: "i\nj", Type: "t\r\nevent: x", From: "f\n", ContentType: contentType, Data: []byte(data), Headers: map[string]string{"a\n": "\r"}}
			frame := session.V1Encoder{}.Message(system("orders"), m, targets("*")[0], cursorAt5).Bytes
			var op map[string]any
			if err := json.Unmarshal(frame, &op); err != nil || !utf8.Valid(frame) || strings.ContainsAny(string(frame), "\r\n") {
				t.Errorf("%q %q: %v: %q", contentType, data, err, frame)
			}
			if op["op"] != "message" || op["session"] != nil {
				t.Errorf("%q %q said %v", contentType, data, op)
			}
		}
	}
}
