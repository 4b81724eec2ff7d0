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

// A Server is an http.Handler that makes WebSocket sessions of requests. It is safe
// for concurrent use. The [session.Registry] holds its sessions, and ends them.
type Server struct {
	registry *session.Registry
	pub      domain.Publisher
	cfg      Config
	log      *slog.Logger
	melody   *melody.Melody
	now      func() time.Time
	counters counters
}

// New returns a Server whose sessions registry admits, and whose clients publish with
// pub.
func New(
	registry *session.Registry, pub domain.Publisher, cfg Config, log *slog.Logger,
) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{registry: registry, pub: pub, cfg: cfg, log: log, now: time.Now}
	s.melody = newMelody(cfg)
	s.handle(s.melody)
	return s, nil
}

// handle connects melody's events with the clients.
func (s *Server) handle(m *melody.Melody) {
	m.HandleConnect(func(m *melody.Session) { clientOf(m).open(m) })
	m.HandleMessage(func(m *melody.Session, data []byte) { clientOf(m).receive(data, false) })
	m.HandleMessageBinary(func(m *melody.Session, data []byte) { clientOf(m).receive(data, true) })
	m.HandleSentMessage(func(m *melody.Session, _ []byte) { clientOf(m).sent() })
	m.HandleSentMessageBinary(func(m *melody.Session, _ []byte) { clientOf(m).sent() })
	m.HandleError(func(m *melody.Session, err error) { clientOf(m).failed(err) })
}

// opRoom is what an op may need beside its data, in bytes.
const opRoom = 8 << 10

// opBytes returns the size of the largest op that is read: one with the largest data,
// in base64. So an op whose data is a little too large is read and answered with an
// error, instead of ending the session.
func (c Config) opBytes() int64 { return int64(c.MessageBytes)/3*4 + opRoom }

func newMelody(cfg Config) *melody.Melody {
	m := melody.New()
	m.Config.MaxMessageSize = cfg.opBytes()
	m.Config.MessageBufferSize = 4 // an outbox puts one write and one close there, see outbox.send
	m.Config.PingPeriod = cfg.Ping
	m.Config.PongWait = cfg.PongWait
	m.Config.WriteWait = cfg.Stall
	m.Upgrader = &websocket.Upgrader{
		HandshakeTimeout: cfg.Handshake,
		ReadBufferSize:   256,      // large reads bypass it
		WriteBufferSize:  16 << 10, // pooled; a batch of this size is one write
		WriteBufferPool:  &sync.Pool{},
		Subprotocols:     []string{V1, Plain},
		CheckOrigin:      func(*http.Request) bool { return true }, // the Registry checks it
	}
	return m
}

// Stats returns what was counted since New.
func (s *Server) Stats() Stats { return s.counters.stats() }
