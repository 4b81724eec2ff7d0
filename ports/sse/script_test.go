package sse

import (
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

func TestOnlyOpsWithACursorMoveTheID(t *testing.T) {
	a := &session.Attachment{}
	s := &script{cursors: []systemCursor{{of: a}}}
	for _, test := range []struct {
		i  item
		id bool
	}{
		{item{op: []byte(`{"op":"bus","up":true}`)}, false},
		{item{of: a, op: []byte(`{"op":"message","system":"x","id":"1","to":"*"}`)}, false},
		{item{of: a, op: []byte(`{"op":"gap","system":"x","reason":"lossy","after_ms":1}`)}, false},
	} {
		if got := string(s.add(nil, test.i)); got != "data: "+string(test.i.op)+"\n\n" {
			t.Errorf("got %q", got)
		}
	}
	if got := s.settle(nil); len(got) != 0 {
		t.Errorf("nothing has moved: %q", got)
	}
}

func TestRawLineBreaksNeverReachTheStream(t *testing.T) {
	for op, want := range map[string]string{
		"{\"a\":\r\n1}":                   `{"a":  1}`,
		"x\nid: forged\n\ndata: y\rz\n\n": `x id: forged  data: y z  `,
		"":                                "",
	} {
		shared := []byte(op)
		if got := string(appendData(nil, shared)); got != "data: "+want+"\n\n" {
			t.Errorf("%q became %q", op, got)
		}
		if string(shared) != op {
			t.Errorf("the shared frame was changed: %q", shared)
		}
	}
}

func FuzzEventsAreTwoLinesAtMost(f *testing.F) {
	f.Add([]byte("{}"))
	f.Add([]byte("\r\n\r\n"))
	f.Fuzz(func(t *testing.T, op []byte) {
		got := string(appendData(nil, op))
		if body := strings.TrimSuffix(got, "\n\n"); strings.ContainsAny(body, "\r\n") || len(body) != len("data: ")+len(op) {
			t.Fatalf("got %q", got)
		}
	})
}

func TestFarewellSaysWhenToComeBackOrNotTo(t *testing.T) {
	s := &script{}
	got := string(s.end(nil, &farewell{op: []byte(`{}`), retry: 1500 * time.Millisecond}))
	if got != "retry: 1500\ndata: {}\n\n" {
		t.Errorf("got %q", got)
	}
	got = string(s.end(nil, &farewell{op: []byte(`{}`), code: 4009, stop: true}))
	if got != "id: !4009\ndata: {}\n\n" {
		t.Errorf("got %q", got)
	}
	if resume, stop := cutMark("orders:abc,chat:def!4009"); resume != "orders:abc,chat:def" || !stop {
		t.Errorf("got %q %v", resume, stop)
	}
}
