package stream_test

import (
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// The same id with other content is another message; what is no content makes no
// difference.
func TestWhatContentIs(t *testing.T) {
	make2 := func(change func(m *domain.Message)) *domain.Message {
		m := message("id", "x", "user:alice", "room:ops")
		m.Type, m.From, m.Headers = "a.b", "bob", map[string]string{"a": "b", "c": "d"}
		if change != nil {
			change(m)
		}
		return m
	}
	for name, c := range map[string]struct {
		same   bool
		change func(m *domain.Message)
	}{
		"nothing":           {true, nil},
		"time":              {true, func(m *domain.Message) { m.Time = time.Now() }},
		"ttl":               {true, func(m *domain.Message) { m.TTL = time.Minute }},
		"session":           {true, func(m *domain.Message) { m.Session = "another" }},
		"headers, in turns": {true, func(m *domain.Message) { m.Headers = map[string]string{"c": "d", "a": "b"} }},
		"data":              {false, func(m *domain.Message) { m.Data = []byte("y") }},
		"type":              {false, func(m *domain.Message) { m.Type = "a.c" }},
		"no type":           {false, func(m *domain.Message) { m.Type, m.Data = "", []byte("a.bx") }},
		"content type":      {false, func(m *domain.Message) { m.ContentType = "text/html" }},
		"from":              {false, func(m *domain.Message) { m.From = "carol" }},
		"a target less":     {false, func(m *domain.Message) { m.To = m.To[:1] }},
		"other order":       {false, func(m *domain.Message) { m.To[0], m.To[1] = m.To[1], m.To[0] }},
		"a header's value":  {false, func(m *domain.Message) { m.Headers["a"] = "c" }},
		"a header's name":   {false, func(m *domain.Message) { m.Headers = map[string]string{"x": "b", "c": "d"} }},
		"a header less":     {false, func(m *domain.Message) { delete(m.Headers, "a") }},
		"values in turns":   {false, func(m *domain.Message) { m.Headers = map[string]string{"a": "d", "c": "b"} }},
		"name into value":   {false, func(m *domain.Message) { m.Headers = map[string]string{"ab": "", "c": "d"} }},
		"no headers":        {false, func(m *domain.Message) { m.Headers = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			f := begun(t, stream.Config{HasLog: true})
			alice := f.attach("user:alice")
			f.record(pos(1), time.Time{}, make2(nil))
			f.record(pos(2), time.Time{}, make2(c.change))
			st := f.Stats()
			if c.same && (len(alice.frames) != 1 || st.Duplicates != 1 || st.Conflicts != 0) {
				t.Errorf("delivered %v, %d duplicates, %d conflicts; want a duplicate", alice.frames, st.Duplicates, st.Conflicts)
			}
			if !c.same && (len(alice.frames) != 2 || st.Duplicates != 0 || st.Conflicts != 1) {
				t.Errorf("delivered %v, %d duplicates, %d conflicts; want a conflict", alice.frames, st.Duplicates, st.Conflicts)
			}
		})
	}
}
