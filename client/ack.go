package client

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// A message may want a receipt. The client acknowledges it once the Handler has returned for
// it without an error, on the session that brought it and on no other. One op stands for all
// messages of its system up to a cursor, so they are gathered for a moment.

// ackEvery is the shortest time between two acknowledgements of a session. When there were none
// for so long, the next one is sent at once.
const ackEvery = 100 * time.Millisecond

// acks are what a session has still to acknowledge. Client.mu guards it.
type acks struct {
	cursors map[string]string // the newest, by system
	sent    time.Time         // when the last ones were sent
}

// ack acknowledges a message that the Handler has dealt with. The caller holds mu.
func (s *session) ack(o *op) {
	if s == nil || s.gone || !o.Receipt || o.Cursor == "" {
		return
	}
	if s.acks.cursors == nil {
		s.acks.cursors = map[string]string{}
	}
	s.acks.cursors[o.System] = o.Cursor
	signal(s.wake)
}

// takeAcks returns the ops that acknowledge what is to be acknowledged now, or how long to
// wait until then; nothing if there is nothing.
func (s *session) takeAcks(now time.Time) (ops []byte, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.acks.cursors) == 0 {
		return nil, 0
	}
	if wait = s.acks.sent.Add(ackEvery).Sub(now); wait > 0 {
		return nil, wait
	}
	var lines []string
	for _, system := range slices.Sorted(maps.Keys(s.acks.cursors)) {
		text, _ := json.Marshal(struct { // strings can always be encoded
			Op     string `json:"op"`
			System string `json:"system"`
			Cursor string `json:"cursor"`
		}{"ack", system, s.acks.cursors[system]})
		lines = append(lines, string(text))
	}
	clear(s.acks.cursors)
	s.acks.sent = now
	return []byte(strings.Join(lines, "\n")), 0
}

// lastAcks sends what is still to be acknowledged when nothing else is sent any more.
func (s *session) lastAcks() {
	s.mu.Lock()
	s.acks.sent = time.Time{}
	s.mu.Unlock()
	if ops, _ := s.takeAcks(time.Now()); ops != nil {
		_ = s.conn.SetWriteDeadline(time.Now().Add(min(time.Second, s.cfg.Timeout)))
		_ = s.conn.WriteMessage(websocket.TextMessage, ops) // an error: the connection is lost
	}
}

// awaitWriter waits until nothing is written any more but close frames, for a moment.
func (s *session) awaitWriter() {
	timer := time.NewTimer(min(time.Second, s.cfg.Timeout))
	defer timer.Stop()
	select {
	case <-s.written:
	case <-timer.C:
	}
}
