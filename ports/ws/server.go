package ws

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A Server is an http.Handler that turns requests into WebSocket sessions. It
// is safe for concurrent use. The Registry holds its sessions, and ends them.
type Server struct {
	registry *session.Registry
	pub      domain.Publisher
	cfg      Config
	log      *slog.Logger
	melody   *melody.Melody
	now      func() time.Time
	counters counters
}

// New returns a Server whose sessions begin at registry and publish with pub.
func New(registry *session.Registry, pub domain.Publisher, cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{registry: registry, pub: pub, cfg: cfg, log: log, now: time.Now}
	s.melody = newMelody(cfg)
	s.melody.HandleConnect(func(m *melody.Session) { clientOf(m).open(m) })
	s.melody.HandleMessage(func(m *melody.Session, data []byte) { clientOf(m).receive(data, false) })
	s.melody.HandleMessageBinary(func(m *melody.Session, data []byte) { clientOf(m).receive(data, true) })
	s.melody.HandleSentMessage(func(m *melody.Session, _ []byte) { clientOf(m).sent() })
	s.melody.HandleSentMessageBinary(func(m *melody.Session, _ []byte) { clientOf(m).sent() })
	s.melody.HandleError(func(m *melody.Session, err error) { clientOf(m).failed(err) })
	return s, nil
}

// opRoom is what an op may need beside its data, in bytes.
const opRoom = 8 << 10

// opBytes is the largest op that is read: one with the largest data, in base64.
// What is a little too large is so answered rather than closed.
func (c Config) opBytes() int64 { return int64(c.MessageBytes)/3*4 + opRoom }

func newMelody(cfg Config) *melody.Melody {
	m := melody.New()
	m.Config.MaxMessageSize = cfg.opBytes()
	m.Config.MessageBufferSize = 4 // one write in flight, one close, and room
	m.Config.PingPeriod = cfg.Ping
	m.Config.PongWait = cfg.PongWait
	m.Config.WriteWait = cfg.Stall
	m.Upgrader = &websocket.Upgrader{
		HandshakeTimeout: cfg.Handshake,
		ReadBufferSize:   256,      // large reads pass it by
		WriteBufferSize:  16 << 10, // pooled: a batch of this size is one write
		WriteBufferPool:  &sync.Pool{},
		Subprotocols:     []string{V1, Plain},
		CheckOrigin:      func(*http.Request) bool { return true }, // the Registry did
	}
	return m
}

// Stats returns what was counted since New.
func (s *Server) Stats() Stats { return s.counters.stats() }
