package ws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

func cursorIn(t *testing.T, line string) string {
	t.Helper()
	var m struct{ Cursor string }
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatal(err)
	}
	return m.Cursor
}

func TestJoinWithACursorBringsWhatTheRoomHadBeforeTheAnswer(t *testing.T) {
	for _, frames := range []int{1, 1024} {
		t.Run(fmt.Sprint(frames, " frames"), func(t *testing.T) {
			n := serve(t, config{ws: ws.Config{OutboxFrames: frames}})
			c := n.v1("alice", "systems=chat")
			n.deliver("user:alice", "chat", `"where I was"`)
			since := cursorIn(t, c.wants(`{"op":"message"`))
			for i := range 20 {
				n.deliver("room:lobby", "chat", fmt.Sprint(i))
				n.deliver("room:attic", "chat", `"not asked for"`)
			}
			c.says(`{"op":"join","ref":"j","system":"chat","room":"lobby","since":"` + since + `"}`)
			for i := range 20 {
				line := c.wants(`{"op":"message","system":"chat","id":"`)
				if !strings.HasSuffix(line, fmt.Sprintf(`"data":%d}`, i)) || strings.Contains(line, "cursor") {
					t.Fatalf("want message %d without a cursor, got %s", i, line)
				}
			}
			c.wants(`{"op":"ok","ref":"j"}`)
			n.deliver("room:lobby", "chat", `"live"`)
			if line := c.wants(`{"op":"message"`); cursorIn(t, line) == "" || !strings.HasSuffix(line, `"live"}`) {
				t.Errorf("want the live message with its cursor, got %s", line)
			}
		})
	}
}

func TestJoinWithAnUnknownCursorTellsAGap(t *testing.T) {
	n := serve(t, config{})
	c := n.v1("alice", "systems=chat")
	foreign := domain.Cursor{Log: 1, Position: "x", Time: time.UnixMilli(1)}
	c.says(`{"op":"join","ref":1,"system":"chat","room":"lobby","since":"` + foreign.String() + `"}`)
	if line := c.wants(`{"op":"gap","system":"chat","reason":"unknown_cursor"`); strings.Contains(line, `"cursor"`) {
		t.Errorf("the session's cursor is not the room's: %s", line)
	}
	c.wants(`{"op":"ok","ref":1}`)
	n.deliver("room:lobby", "chat", `1`)
	c.wantsData(`1`)
}

func TestJoinsThatWaitAreAnsweredBusyAndDoNotEndTheSession(t *testing.T) {
	n := serve(t, config{})
	c := n.v1("alice", "systems=chat")
	ahead := domain.Cursor{Log: log, Position: pos(10), Time: time.UnixMilli(1)}.String()
	c.says(`{"op":"join","ref":1,"system":"chat","room":"a","since":"` + ahead + `"}`)
	for range 2 * 10 {
		c.says(`{"op":"join","ref":2,"system":"chat","room":"b","since":"` + ahead + `"}`)
		c.wants(`{"op":"error","ref":2,"code":"busy"`)
	}
	for range 10 {
		n.deliver("room:c", "chat", `0`)
	}
	c.wants(`{"op":"ok","ref":1}`)
	n.deliver("room:b", "chat", `"not joined"`)
	n.deliver("room:a", "chat", `"joined"`)
	c.wantsData(`"joined"`)
}

// The time in a cursor comes from the client: no value of it may do harm.
func TestCursorsWithAbsurdTimesAreAnswered(t *testing.T) {
	n := serve(t, config{})
	n.deliver("room:lobby", "chat", `1`)
	for _, at := range []time.Time{
		time.UnixMilli(math.MinInt64), time.UnixMilli(math.MaxInt64), time.UnixMilli(-1), time.UnixMilli(1), {},
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC),
	} {
		for _, c := range []domain.Cursor{
			{Log: log, Position: pos(0), Time: at}, {Log: log, Position: pos(1), Time: at, ID: 7}, {Log: log, Position: pos(999), Time: at, ID: 1},
			{Log: 1, Position: "x", Time: at}, {Log: log + 1, Position: pos(1), Time: at, ID: math.MaxUint64},
		} {
			s := n.dial("alice", "systems=chat&resume=chat:"+c.String(), nil)
			s.wants(`{"op":"hello"`)
			s.says(`{"op":"join","ref":1,"system":"chat","room":"lobby","since":"` + c.String() + `"}`)
			for {
				line, err := s.next()
				if err != nil {
					t.Fatalf("%+v: %v", c, err)
				}
				if strings.HasPrefix(line, `{"op":"ok","ref":1}`) || strings.HasPrefix(line, `{"op":"error","ref":1,"code":"busy"`) {
					break
				}
			}
			_ = s.conn.Close()
		}
	}
	n.v1("bob", "systems=chat")
}

// windows is a History of the windows alone.
type windows struct{}

func (windows) Newest(
	_ context.Context, s *stream.Stream, _ stream.Asker, targets []domain.Target, last stream.Last,
) (domain.Cursor, domain.GapReason) {
	if last.Age > 0 {
		return s.NewestSince(time.Now().Add(-last.Age)).At, domain.Trimmed
	}
	return s.Newest(targets, domain.Cursor{}, last.Count).At, ""
}

func TestJoinBringsTheLastMessagesOfTheRoomBeforeTheAnswer(t *testing.T) {
	n := serve(t, config{registry: session.Config{History: windows{}}})
	c := n.v1("alice", "systems=chat")
	for i := range 20 {
		n.deliver("room:lobby", "chat", fmt.Sprint(i))
		n.deliver("room:attic", "chat", `"not asked for"`)
	}
	c.says(`{"op":"join","ref":1,"system":"chat","room":"lobby","last":3}`)
	for i := 17; i < 20; i++ {
		if line := c.wants(`{"op":"message"`); !strings.HasSuffix(line, fmt.Sprintf(`"data":%d}`, i)) || strings.Contains(line, "cursor") {
			t.Fatalf("want message %d without a cursor, got %s", i, line)
		}
	}
	c.wants(`{"op":"ok","ref":1,"last":{"complete":true}}`)
	c.says(`{"op":"join","ref":2,"system":"chat","room":"attic","last":"1h"}`)
	for range 20 {
		c.wantsData(`"not asked for"`)
	}
	c.wants(`{"op":"ok","ref":2,"last":{"complete":false,"reason":"trimmed"}}`)
	n.deliver("room:lobby", "chat", `"live"`)
	c.wantsData(`"live"`)
}
