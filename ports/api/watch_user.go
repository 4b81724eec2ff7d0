package api

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// Bounds of asking what became of messages.
const (
	fateAfter  = 700 * time.Millisecond // after a message came
	fateWithin = 2 * time.Second        // for all nodes to answer
	fateRate   = 10                     // messages a second
	fateAtOnce = 8                      // messages that are asked for at a time
	traceKind  = "trace"
)

// A fateOf is a message whose fate is asked for: where it is, as nodes want to know it.
type fateOf struct {
	at    time.Time // when it came
	id    string
	place tracePlace
}

// A tracePlace is where a message is, in a question of the kind trace.
type tracePlace struct {
	Cursor   string    `json:"cursor"`
	LoggedAt time.Time `json:"logged_at,omitzero"`
	To       []string  `json:"to"`
	Type     string    `json:"type,omitempty"`
	TTL      int       `json:"ttl,omitempty"` // seconds
	Bytes    int       `json:"bytes,omitempty"`
}

// A traceQuestion is a question of the kind trace.
type traceQuestion struct {
	System string       `json:"system"`
	ID     string       `json:"id"`
	User   string       `json:"user"`
	Places []tracePlace `json:"places"`
}

// A traceAnswer is what is read of an answer to it.
type traceAnswer struct {
	Places []struct {
		State  string        `json:"state"`
		Reason string        `json:"reason"`
		Of     []sessionFate `json:"of"`
	} `json:"places"`
}

// A sessionFate is what became of a message for a session.
type sessionFate struct {
	Node    string `json:"node"`
	Session string `json:"session"`
	Fate    string `json:"fate"`
	Reason  string `json:"reason,omitempty"`
}

// A fateEvent says what became of a message for the sessions of the user.
type fateEvent struct {
	Op       string        `json:"op"` // fate
	ID       string        `json:"id"`
	Cursor   string        `json:"cursor"`
	Sessions []sessionFate `json:"sessions"`
	fullness
}

// A sessionsEvent says which sessions the user has.
type sessionsEvent struct {
	Op       string                `json:"op"` // sessions
	User     string                `json:"user"`
	Sessions []control.SessionInfo `json:"sessions"`
	fullness
}

// A leftOut says of how many messages the fate is not told.
type leftOut struct {
	Op string `json:"op"` // fates_left_out
	N  int    `json:"n"`
}

// await notes a message whose fate is to be asked for. The caller holds mu.
func (v *view) await(e *stream.Seen) {
	m := e.Message
	if len(v.due) >= 2*fateRate {
		v.left++
		return
	}
	place := tracePlace{
		Cursor: e.At.String(), LoggedAt: e.Time, Type: m.Type, TTL: int(m.TTL / time.Second), Bytes: len(m.Data),
	}
	size := 0
	for _, t := range m.To {
		if size += len(t.String()) + 3; size > control.MaxBody/2 {
			v.left++ // it has more targets than a question has room for
			return
		}
		place.To = append(place.To, t.String())
	}
	v.due = append(v.due, fateOf{at: time.Now(), id: m.ID, place: place})
}

// follow asks all nodes which sessions the user has, and what became of messages, until ctx
// ends.
func (v *view) follow(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { v.followSessions(ctx) })
	free := make(chan struct{}, fateAtOnce)
	tick := time.NewTicker(time.Second / fateRate)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		f, found := v.nextFate(time.Now())
		if !found {
			continue
		}
		select {
		case free <- struct{}{}:
			work.Go(func() {
				defer func() { <-free }()
				v.tellFate(ctx, f)
			})
		default: // nodes are slow to answer
			v.leaveOut()
		}
	}
}

// nextFate returns a message whose fate is due, and says how many were left out.
func (v *view) nextFate(now time.Time) (f fateOf, found bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.due) == 0 || now.Sub(v.due[0].at) < fateAfter {
		return f, false
	}
	f, v.due = v.due[0], v.due[1:]
	return f, true
}

func (v *view) leaveOut() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.left++
}

// tellFate asks all nodes what became of a message.
func (v *view) tellFate(ctx context.Context, f fateOf) {
	out := fateEvent{Op: "fate", ID: f.id, Cursor: f.place.Cursor, Sessions: []sessionFate{}}
	question := traceQuestion{System: v.system.String(), ID: f.id, User: v.user, Places: []tracePlace{f.place}}
	ctx, cancel := context.WithTimeout(ctx, fateWithin)
	defer cancel()
	c := *v.call
	c.ctx = ctx
	full, p := c.ask(traceKind, question, func(node string, answer []byte) error {
		var a traceAnswer
		if err := json.Unmarshal(answer, &a); err != nil {
			return err
		}
		for _, place := range a.Places {
			for _, s := range place.Of {
				s.Node = node
				out.Sessions = append(out.Sessions, s)
			}
		}
		return nil
	})
	if p != nil {
		v.leaveOut()
		return
	}
	told := func(f failedNode) bool { return f.Error != control.UnknownKind }
	if len(out.Sessions) == 0 && len(full.Failed) > 0 && !slices.ContainsFunc(full.Failed, told) {
		return // the nodes are of a version that cannot tell
	}
	out.fullness = full
	v.tell(out)
}

// followSessions tells which sessions the user has, when that has changed, and has messages
// for their rooms shown.
func (v *view) followSessions(ctx context.Context) {
	tick := time.NewTicker(sessionsEvery)
	defer tick.Stop()
	told := ""
	for {
		c := *v.call
		c.ctx, c.user = ctx, v.user
		now := sessionsEvent{Op: "sessions", User: v.user}
		list, p := c.sessionsOf()
		if ctx.Err() != nil {
			return
		}
		if p == nil {
			v.hear(list.Sessions)
			now.Sessions, now.fullness = list.Sessions, list.fullness
			if who := now.key(); who != told {
				told = who
				v.tell(now)
			}
		}
		v.tellLeft()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// key returns what has to differ for the event to be told again: where the cursors of the
// sessions are changes with each message.
func (e *sessionsEvent) key() string {
	key, _ := json.Marshal(e.fullness)
	for _, s := range e.Sessions {
		key = append(append(key, s.ID...), s.Node...)
		for _, in := range s.Systems {
			key = append(append(key, in.System...), in.State...)
			for _, rooms := range [][]string{in.Rooms, in.Assigned} {
				for _, room := range rooms {
					key = append(append(key, ' '), room...)
				}
			}
		}
	}
	return string(key)
}

// tellLeft says of how many messages the fate is not told.
func (v *view) tellLeft() {
	v.mu.Lock()
	n := v.left
	v.left = 0
	v.mu.Unlock()
	if n > 0 {
		v.tell(leftOut{Op: "fates_left_out", N: n})
	}
}
