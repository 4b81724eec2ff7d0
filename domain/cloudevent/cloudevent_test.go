package cloudevent_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/cloudevent"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

func TestWhatWasWrittenIsReadBack(t *testing.T) {
	for name, e := range map[string]cloudevent.Event{
		"smallest": {ID: "1", Source: "/s", Type: "t"},
		"everything": {
			ID: "a\"b", Source: "/fanfare/chat", Type: "fanfare.user.online", Subject: "älice\n",
			Time:        time.Date(2026, 1, 31, 12, 0, 0, 123e6, time.UTC),
			ContentType: "application/json", Data: []byte(`{"n":[1]}`),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cloudevent.Parse(cloudevent.Append(nil, &e))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&e, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseTakesWhatTheSpecificationAllows(t *testing.T) {
	e, err := cloudevent.Parse([]byte(`{"stamp":"0123456789abcdef:7","specversion":"1.0","id":"1","source":"s",
		"type":"t","subject":null,"dataschema":"x","time":"2026-01-31T13:00:00+01:00","data_base64":"AP8="}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &cloudevent.Event{ID: "1", Source: "s", Type: "t", Data: []byte{0, 255},
		Time: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for body, path := range map[string]string{
		``: "", `[]`: "", `{"id":1`: "",
		`{"id":"1","source":"s","type":"t"}`:                                               "specversion",
		`{"specversion":"0.3","id":"1","source":"s","type":"t"}`:                           "specversion",
		`{"specversion":"1.0","source":"s","type":"t"}`:                                    "id",
		`{"specversion":"1.0","id":"","source":"s","type":"t"}`:                            "id",
		`{"specversion":"1.0","id":7,"source":"s","type":"t"}`:                             "id",
		`{"specversion":"1.0","id":"1","type":"t"}`:                                        "source",
		`{"specversion":"1.0","id":"1","source":"s"}`:                                      "type",
		`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"now"}`:              "time",
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":""}`: "data_base64",
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"?"}`:         "data_base64",
		`{"specversion":"1.0","id":"` + strings.Repeat("x", 2000) + `"}`:                   "id",
	} {
		_, err := cloudevent.Parse([]byte(body))
		var field *domain.FieldError
		if !errors.Is(err, domain.ErrInvalid) || path != "" && (!errors.As(err, &field) || field.Path != path) {
			t.Errorf("%.80s: got %v, want a fault of %q", body, err, path)
		}
	}
}

func TestWhoIsThereIsReadBack(t *testing.T) {
	chat, err := domain.ParseSystem("chat")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []control.Event{
		{ID: "1", Type: control.Online, Place: control.Place{System: chat}, User: "alice", Time: 1},
		{ID: "2", Type: control.Vacated, Place: control.Place{System: chat, Room: "lob\"by"}, Time: 2},
	} {
		made := cloudevent.FromControl(e)
		read, err := cloudevent.Parse(cloudevent.Append(nil, &made))
		if err != nil || !cloudevent.IsPresence(read) {
			t.Fatalf("%v: %v", e, err)
		}
		p, err := cloudevent.ParsePresence(read.Data)
		want := cloudevent.Presence{System: "chat", Room: e.Room, User: e.User}
		if err != nil || p != want || read.Time.UnixMilli() != e.Time || read.Subject != e.User+e.Room {
			t.Errorf("got %+v %+v, %v; want %+v", read, p, err, want)
		}
	}
	if cloudevent.IsPresence(&cloudevent.Event{Type: "order.paid"}) {
		t.Error("an order is somebody who is there")
	}
	for _, data := range []string{``, `null`, `{}`, `{"system":1}`, `{"system":"a","system":"b"}`} {
		if _, err := cloudevent.ParsePresence([]byte(data)); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q: got %v", data, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"a":[1, 2]},"time":"2026-01-31T13:00:00+01:00"}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AP8="}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := cloudevent.Parse(body)
		if err != nil {
			return
		}
		if e.ID == "" || e.Source == "" || e.Type == "" {
			t.Fatalf("%q: got %+v", body, e)
		}
		if e.Data != nil && jsontext.Valid(e.Data) != nil || jsontext.HasLineBreak(e.Data) {
			return // the bytes of data_base64
		}
		line := cloudevent.Append(nil, e)
		again, err := cloudevent.Parse(line)
		if err != nil || bytes.ContainsAny(line, "\n\r") {
			t.Fatalf("%q was written as %q: %v", body, line, err)
		}
		if !bytes.Equal(line, cloudevent.Append(nil, again)) {
			t.Fatalf("%q: not the same event", line)
		}
		_, _ = cloudevent.ParsePresence(e.Data)
	})
}

func ExampleParse() {
	e, err := cloudevent.Parse([]byte(`{"specversion":"1.0","id":"17","source":"/fanfare/chat",` +
		`"type":"fanfare.user.offline","subject":"alice","data":{"system":"chat","user":"alice"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	who, err := cloudevent.ParsePresence(e.Data)
	fmt.Println(e.Type, who.System, who.User, err)
	// Output: fanfare.user.offline chat alice <nil>
}
