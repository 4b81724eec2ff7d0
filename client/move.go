package client

import (
	"context"
	"time"

	"github.com/gorilla/websocket"
)

// A node that drains asks its clients to go some time before it closes their sessions. The
// client then makes its next session first. It resumes there, while the old session goes on,
// and when the new one has said hello, takes what comes from that one alone. The new one
// brings once more what the old one has brought in the meantime: see overlap. So nothing is
// late, lost or repeated.
//
// The two sessions have a goroutine each. The new one takes over with old.turn held, and the
// old one holds it while it hands something to the Handler's queue.

// goAway begins the session that follows this one, unless that has begun before. The node
// closes this one when grace is over.
func (s *session) goAway(grace time.Duration) {
	s.graceful = true
	if s.next != nil {
		select {
		case <-s.next.done: // it has failed
		default:
			return
		}
	}
	ctx, cancel := context.WithCancel(s.whole)
	next := s.newSession(s.whole, s.out)
	next.previous, next.cancel = s, cancel
	s.next = next
	go func() { // Client.session waits for it
		defer cancel()
		defer close(next.done)
		next.follow(ctx, grace)
	}()
}

// follow makes the session and lives it, if the one before it lets it. If it fails before it
// has taken over, the one before goes on as if nothing had been.
func (s *session) follow(ctx context.Context, grace time.Duration) {
	old := s.previous
	if err := old.settleRooms(ctx, grace); err != nil {
		s.end.err = err
	} else {
		s.live(ctx)
	}
	if s.tookOver {
		return
	}
	s.cfg.Logger.Info("client: no connection could be made before this one ends", "err", s.end.err)
	s.mu.Lock()
	old.moving, old.recorder = false, nil
	s.mu.Unlock()
	signal(old.wake)
	if s.final(s.end.err) {
		_ = old.conn.Close()
	}
}

// settleRooms keeps calls about rooms and presence from being sent on the session, and waits
// for the answers of those that were sent, for at most grace. A session that ends before the
// answer to a join would keep for itself what that has not brought yet.
func (s *session) settleRooms(ctx context.Context, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	s.mu.Lock()
	s.moving = true
	s.mu.Unlock()
	for s.awaits((*call).isOfPlace) {
		select {
		case <-s.answers:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// awaits says whether a call for which which is true was sent on this session, and may still
// be answered there.
func (s *session) awaits(which func(*call) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	for _, call := range s.pending {
		if call.on == s && which(call) {
			return true
		}
	}
	return false
}

// isOfPlace says whether a call is about a room or about presence.
func (a *call) isOfPlace() bool { return a.kind != callSend && a.kind != callAuth }

// takeOver makes this session the one that the Handler hears. It fails if the one before it
// has ended so that the client must not come back, or has brought too much meanwhile.
func (s *session) takeOver() bool {
	old := s.previous
	if old == nil {
		return true
	}
	old.turn.Lock()
	defer old.turn.Unlock()
	if old.over && old.final(old.end.err) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overlap.full {
		return false
	}
	old.retired.Store(true)
	old.recorder = nil
	s.overlap.end = time.Now().Add(overlapFor)
	s.tookOver = true
	return true
}

// retire ends the session before this one, once it has answered what was sent on it.
func (s *session) retire() {
	old := s.previous
	if old == nil {
		return
	}
	old.stop()
	old.awaitWriter()
	_ = old.conn.SetReadDeadline(time.Now().Add(old.cfg.Timeout))
	old.leaveIfAnswered()
	s.previous = nil // or each session would keep all before it in memory
}

// leaveIfAnswered says goodbye to the node of a session that has been replaced, if nothing
// that was sent on it waits for an answer. Reading ends when the node has answered.
func (s *session) leaveIfAnswered() {
	if !s.retired.Load() || s.awaits(func(*call) bool { return true }) {
		return
	}
	wait := time.Now().Add(min(time.Second, s.cfg.Timeout))
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = s.conn.WriteControl(websocket.CloseMessage, bye, wait)
	_ = s.conn.SetReadDeadline(wait)
}

// deliver hands an op to the Handler's queue, and moves the cursors, unless the session has
// been replaced or the one before it has brought the same.
func (s *session) deliver(ctx context.Context, line []byte, o *op) error {
	if s.retired.Load() { // without turn, which may be held by who waits for the Handler
		return nil
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.retired.Load() {
		return nil
	}
	e := event{raw: line, op: *o}
	if o.Receipt {
		e.on = s
	}
	if e.repeated = s.isRepetition(o); e.repeated && e.on == nil {
		return nil
	}
	if err := s.out.push(ctx, e); err != nil || e.repeated {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(s.seen, o)
	if s.recorder != nil && o.Name == "message" {
		s.recorder.note(o)
	}
	return nil
}

// isRepetition says whether the session before this one has brought an op.
func (s *session) isRepetition(o *op) bool {
	if !s.tookOver {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	drop, behind := s.overlap.drops(o, time.Now())
	if behind {
		s.advance(s.seen, o)
	}
	return drop
}
