package stream_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A listener is a client of one session at a time.
type listener struct {
	k       *kept
	name    string
	a       *stream.Attachment
	queue   []string
	room    int
	given   []domain.Cursor
	from    map[string]int // by target: all after this entry is for it
	left    map[string]int // rooms that it left with frames in its outbox: from, until then
	got     map[int]bool   // read, or covered by a gap
	heard   map[int]bool   // read
	last    int            // the last entry with a cursor
	joining string         // the room that it waits for
	log     []string       // of what happened, for a person
}

// hears encodes for all listeners alike, and says what a message is and its cursor.
type hears struct{}

func (hears) Message(_ domain.System, m *domain.Message, to domain.Target, at domain.Cursor) stream.Frame {
	n, _, _ := strings.Cut(string(m.Data), "-")
	return stream.Frame{Bytes: fmt.Appendf(nil, "m %s %s %s", n, at, to)}
}

func (hears) Gap(_ domain.System, reason domain.GapReason, at domain.Cursor) stream.Frame {
	return stream.Frame{Bytes: fmt.Appendf(nil, "g %s %s", reason, at)}
}

func (l *listener) note(format string, args ...any) {
	l.log = append(l.log, fmt.Sprintf("%d: ", len(l.k.log))+fmt.Sprintf(format, args...))
}

func (l *listener) fault(format string, args ...any) {
	l.k.t.Errorf("%s %s\nfrom %v\n%s", l.name, fmt.Sprintf(format, args...), l.from, strings.Join(l.log, "\n"))
}

func (l *listener) Offer(f stream.Frame) bool {
	if len(l.queue) > l.room {
		return false
	}
	l.queue = append(l.queue, string(f.Bytes))
	return true
}

func (l *listener) connect() {
	if l.a != nil {
		l.a.Detach()
	}
	l.queue, l.room, l.joining = nil, l.k.r.IntN(6), ""
	since, at := domain.Cursor{}, len(l.k.log)
	if len(l.given) > 0 && l.k.r.IntN(8) > 0 {
		i := len(l.given) - 1
		if l.k.r.IntN(2) == 0 {
			i = l.k.r.IntN(len(l.given))
		}
		since = l.given[i]
		at = number(since.Log, since.Position)
	}
	l.got, l.heard, l.last = map[int]bool{}, map[int]bool{}, at
	l.from, l.left = map[string]int{l.name: at, "*": at}, map[string]int{}
	targets := []domain.Target{target(l.name)}
	if l.k.r.IntN(2) == 0 {
		targets, l.from["room:x"] = append(targets, target("room:x")), at
	}
	var begins domain.Cursor
	l.a, begins, _ = l.k.Attach(stream.Asker{User: l.name}, l, hears{}, since, targets...)
	l.note("connects at %d with %v", at, slices.Sorted(maps.Keys(l.from)))
	if since.IsZero() {
		l.given = append(l.given, begins)
	}
	if l.k.r.IntN(4) > 0 {
		l.a.Fill()
	}
}

// join joins a room that the listener is not in, from now on or since a cursor.
func (l *listener) join() {
	room := []string{"room:x", "room:y"}[l.k.r.IntN(2)]
	_, in := l.from[room]
	_, was := l.left[room]
	if in || was || l.a == nil {
		return
	}
	if l.k.r.IntN(2) == 0 {
		l.note("joins %s", room)
		l.a.Join(target(room))
		l.from[room] = len(l.k.log)
		return
	}
	since := l.given[l.k.r.IntN(len(l.given))]
	l.from[room] = number(since.Log, since.Position)
	if was := l.joining; was != "" {
		delete(l.from, room)
		return
	}
	l.joining = room
	if !l.a.JoinSince(target(room), since, stream.Frame{Bytes: []byte("j " + room)}) {
		l.joining = ""
		delete(l.from, room)
		return
	}
	l.note("joins %s since %d", room, l.from[room])
}

func (l *listener) leave() {
	for _, room := range []string{"room:x", "room:y"} {
		if _, in := l.from[room]; in && room != l.joining {
			l.note("leaves %s", room)
			l.a.Leave(target(room))
			l.left[room] = l.from[room]
			delete(l.from, room)
			return
		}
	}
}

func (l *listener) read(n int) {
	if l.a == nil {
		return
	}
	for range n {
		if len(l.queue) == 0 && (l.a.Fill() || len(l.queue) == 0) && len(l.queue) == 0 {
			return
		}
		frame := l.queue[0]
		l.queue = l.queue[1:]
		l.take(frame)
	}
	l.a.Fill()
}

func (l *listener) take(frame string) {
	l.note("%s", frame)
	words := strings.Split(frame, " ")
	if words[0] == "j" {
		if words[1] != l.joining {
			l.fault("is told that it joined %s", words[1])
		}
		l.joining = ""
		return
	}
	var at domain.Cursor
	n := 0
	if words[2] != "" {
		var err error
		if at, err = domain.ParseCursor(words[2]); err != nil {
			panic(err)
		}
		l.given = append(l.given, at)
		n = number(at.Log, at.Position)
		l.log[len(l.log)-1] += fmt.Sprint(" = ", n)
		if n < l.last || n == l.last && words[0] == "m" {
			l.fault("goes back from %d", l.last)
		}
		l.last = n
	}
	if words[0] == "g" {
		l.cover(n)
		return
	}
	m, _ := strconv.Atoi(words[1])
	if n > 0 && n != m && l.k.log[n-1].repeat != m {
		l.fault("gets %d with the cursor of %d", m, n)
	}
	throughLeft := slices.ContainsFunc(l.k.log[m-1].to, func(to string) bool { _, was := l.left[to]; return was })
	if l.heard[m] && (n > 0 || !throughLeft) { // in a room that was left, nobody knows what was heard there
		l.fault("gets %d again", m)
	}
	if !l.wants(m, n) {
		l.fault("gets %d, which is not for it", m)
	}
	l.got[m], l.heard[m] = true, true
}

// cover takes note of a gap: what is before entry n is lost, or what is in the room
// that is joined.
func (l *listener) cover(n int) {
	for i := range l.k.log {
		if i+1 <= n || n == 0 && slices.Contains(l.k.log[i].to, l.joining) {
			l.got[i+1] = true
		}
	}
}

// wants reports whether message m, which came with cursor n, may be for the listener.
func (l *listener) wants(m, n int) bool {
	for _, to := range l.k.log[m-1].to {
		for _, rooms := range []map[string]int{l.from, l.left} {
			if from, in := rooms[to]; in && max(m, n) > from {
				return true
			}
		}
	}
	return false
}

func (l *listener) complete() {
	if l.a == nil {
		return
	}
	if l.joining != "" {
		l.fault("still joins")
	}
	for i, e := range l.k.log {
		if e.repeat > 0 || l.got[i+1] {
			continue
		}
		for _, to := range e.to {
			if from, in := l.from[to]; in && i+1 > from {
				l.fault("misses %d for %s", i+1, to)
			}
		}
	}
}
