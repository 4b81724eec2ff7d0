package ws_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
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

func TestJoinWithACursorThatFitsNowhereTellsAGap(t *testing.T) {
	n := serve(t, config{})
	c := n.v1("alice", "systems=chat")
	foreign := domain.Cursor{Log: 1, Position: "x", Time: time.UnixMilli(1)}
	c.says(`{"op":"join","ref":1,"system":"chat","room":"lobby","since":"` + foreign.String() + `"}`)
	if line := c.wants(`{"op":"gap","system":"chat","reason":"unknown_cursor"`); strings.Contains(line, `"cursor"`) {
		t.Errorf("the session's place is another: %s", line)
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
