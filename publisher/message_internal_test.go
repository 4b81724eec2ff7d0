package publisher

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// Every node reads a message as Publish took it. If Publish refuses a message, the
// error says what is wrong with which part.
func TestWhatAPublisherTakesIsReadAsTheSame(t *testing.T) {
	deep := json.RawMessage(strings.Repeat("[", 129) + strings.Repeat("]", 129))
	for name, tt := range map[string]struct {
		m    Message
		want string // the data on the bus; an error's beginning after "!"
	}{
		"a value":                   {Message{Data: map[string]int{"n": 1}}, `{"n":1}`},
		"nothing":                   {Message{}, `null`},
		"a string":                  {Message{Data: "x"}, `"x"`},
		"raw JSON":                  {Message{Data: json.RawMessage("{\n\"a\": \"<\\ud83d>\"}")}, `{"a":"<\ud83d>"}`},
		"no raw JSON":               {Message{Data: json.RawMessage(nil)}, `null`},
		"raw that is none":          {Message{Data: json.RawMessage(`1,"session":"x"`)}, `!data`},
		"raw that is no UTF-8":      {Message{Data: json.RawMessage("\"\xff\"")}, `!data`},
		"raw that is too deep":      {Message{Data: deep}, `!data`},
		"bytes":                     {Message{Data: []byte("\xff")}, "\xff"},
		"no bytes":                  {Message{Data: []byte{}}, ""},
		"bytes that are JSON":       {Message{ContentType: "Application/x+JSON; v=1", Data: []byte(`{"a":1}`)}, `{"a":1}`},
		"bytes that are not":        {Message{ContentType: "application/x+json", Data: []byte(`1,"session":"x"`)}, `!data`},
		"a value for +json":         {Message{ContentType: "application/x+json", Data: 1}, `1`},
		"a string for +json":        {Message{ContentType: "application/x+json", Data: "1"}, `"1"`},
		"text":                      {Message{ContentType: "text/html; charset=utf-8", Data: "<p>"}, `<p>`},
		"empty text":                {Message{ContentType: "text/plain", Data: ""}, ``},
		"text that is no UTF-8":     {Message{ContentType: "text/html", Data: "\xff"}, `!data`},
		"text in another charset":   {Message{ContentType: "text/html; charset=latin1", Data: "\xe4"}, "\xe4"},
		"a value for bytes":         {Message{ContentType: "image/png", Data: 1}, `!data`},
		"an id that is no UTF-8":    {Message{ID: "\xff"}, `!id`},
		"a type that is no UTF-8":   {Message{Type: "\xed\xa0\xbd"}, `!type`},
		"a header that is no UTF-8": {Message{Headers: map[string]string{"a": "\xff"}}, `!headers`},
		"a user that is no UTF-8":   {Message{To: []string{"user:\xff"}}, `!to[0]`},
		"a year too far":            {Message{Time: time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -5*3600))}, `!time`},
		"half a second":             {Message{TTL: time.Second / 2}, `null`},
		"an empty header":           {Message{Headers: map[string]string{"a": "", "": "b"}}, `null`},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.m.To == nil {
				tt.m.To = []string{"user:alice"}
			}
			m, err := tt.m.message(new(domain.IDs))
			if field, refused := strings.CutPrefix(tt.want, "!"); refused {
				var fault *domain.FieldError
				if !errors.As(err, &fault) || fault.Path != field {
					t.Errorf("got %+v, %v; want a fault of %s", m, err, field)
				}
				return
			}
			if err != nil || string(m.Data) != tt.want {
				t.Fatalf("got %+v, %v; want data %q", m, err, tt.want)
			}
			got, err := envelope.Parse(envelope.Append(nil, m), envelope.Options{})
			m.TTL = (m.TTL + time.Second - 1).Truncate(time.Second)
			if err != nil || !got.Equal(*m) {
				t.Errorf("%+v was read as %+v, %v", m, got, err)
			}
		})
	}
}
