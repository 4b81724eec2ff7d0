package session

import (
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

// Disconnect closes the sessions that a user has on this node, as the value says, and
// returns how many there were. Sessions of the user that are being opened are closed as
// soon as they begin.
func (reg *Registry) Disconnect(name string, v control.Value) int {
	v = disconnectValue(v)
	var sessions []*Session
	reg.mu.Lock()
	reg.noteDisconnect(control.Key{Kind: control.Disconnect, Name: name}, v)
	if u := reg.users[name]; u != nil {
		sessions = append(sessions, u.sessions...)
	}
	reg.mu.Unlock()
	for _, s := range sessions {
		s.disconnect(v)
	}
	return len(sessions)
}

// DisconnectSession closes one session, as the value says, and reports whether it is on
// this node.
func (reg *Registry) DisconnectSession(id string, v control.Value) bool {
	v = disconnectValue(v)
	reg.mu.Lock()
	reg.noteDisconnect(control.Key{Kind: control.DisconnectSession, Name: id}, v)
	s := reg.lookup.withID(id, reg.sessions)
	reg.mu.Unlock()
	if s != nil {
		s.disconnect(v)
	}
	return s != nil
}

func (s *Session) disconnect(v control.Value) { s.conn.Disconnect(v.Code, v.Reason, v.Final) }

// disconnectValue returns a value with what stands for nothing filled in, and with what no
// close frame may have left out: the control topic can be written by others.
func disconnectValue(v control.Value) control.Value {
	if v.Code < minCustomCode || v.Code > maxCustomCode {
		v.Code = CloseDisconnected
	}
	v.Reason = strings.ToValidUTF8(v.Reason, "?")
	if v.Reason == "" {
		v.Reason = "disconnected"
	}
	return v
}

// A disconnect is an event and no state, unlike a block: [Control.Check] knows nothing of
// it. So it is remembered for a while, for sessions that were being opened when it came.

// recentDisconnects are the disconnects of late. They are guarded by Registry.mu.
type recentDisconnects struct {
	all map[control.Key]recentDisconnect // at most maxDisconnects
	// forgotten is the newest change, see Registry.changes, that was a disconnect and is
	// not in all any more. Sessions that were opened before it are asked to come back.
	forgotten uint64
}

type recentDisconnect struct {
	change uint64 // see Registry.changes
	at     time.Time
	value  control.Value
}

const (
	maxDisconnects = 10_000
	// openTime is more than it takes to open a session: that is bounded by
	// Config.Authenticate, and by how long streams wait for the bus.
	openTime = time.Minute
)

// noteDisconnect remembers a disconnect. The caller holds mu.
func (reg *Registry) noteDisconnect(k control.Key, v control.Value) {
	change := reg.changes.Add(1)
	r := &reg.disconnects
	if len(r.all) >= maxDisconnects {
		r.all, r.forgotten = nil, change-1
	}
	if r.all == nil {
		r.all = make(map[control.Key]recentDisconnect)
	}
	r.all[k] = recentDisconnect{change: change, at: reg.now(), value: v}
}

// forgetDisconnects forgets the disconnects that are older than any session that is being
// opened.
func (reg *Registry) forgetDisconnects(now time.Time) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	r := &reg.disconnects
	for k, d := range r.all {
		if now.Sub(d.at) > openTime {
			r.forgotten = max(r.forgotten, d.change)
			delete(r.all, k)
		}
	}
	if len(r.all) == 0 {
		r.all = nil
	}
}

// since returns the disconnect of the session or its user that came after a change, and
// whether there was one. Unknown reports that there may have been one.
func (r *recentDisconnects) since(change uint64, s *Session) (v control.Value, found, unknown bool) {
	for _, k := range [...]control.Key{
		{Kind: control.Disconnect, Name: s.User}, {Kind: control.DisconnectSession, Name: s.ID},
	} {
		if d, ok := r.all[k]; ok && d.change > change {
			return d.value, true, false
		}
	}
	return control.Value{}, false, change < r.forgotten
}
