package ws

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/metric"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A Server is an http.Handler that makes WebSocket sessions of requests. It is safe
// for concurrent use. The [session.Registry] holds its sessions, and ends them.
// [Server.Run] must be running while it serves.
type Server struct {
	registry *session.Registry
	pub      domain.Publisher
	cfg      Config
	log      *slog.Logger
	melody   *melody.Melody
	now      func() time.Time
	counters counters
	shards   []*shard
	flushed  []metric.Histogram // delays of the messages that each shard's flusher has written
	delay    metric.Histogram   // of those that others have written
	pings    pings
	opened   atomic.Uint64 // sessions so far
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
	for range shardCount(runtime.GOMAXPROCS(0)) {
		s.shards = append(s.shards, newShard())
	}
	s.flushed = make([]metric.Histogram, len(s.shards))
	return s, nil
}

// shardCount returns how many shards there are, each with a flusher. Half of the
// processors are left to what gives the flushers work: so lists grow while they are
// flushed, and more frames share a write.
func shardCount(processors int) int { return (processors + 1) / 2 }

// Run writes to the sessions, and pings them. When ctx ends, it goes on until the
// registry's sessions have ended, for which [session.Registry.Run] has to end, too.
func (s *Server) Run(ctx context.Context) error {
	var flushers sync.WaitGroup
	for i, sh := range s.shards {
		f := flusher{shard: sh, out: newNowWriter(), total: &s.counters, delay: &s.flushed[i]}
		flushers.Go(f.run)
	}
	s.pings.run(ctx, s.cfg.Ping)
	<-s.registry.Ended()
	for _, sh := range s.shards {
		sh.end()
	}
	flushers.Wait()
	return nil
}

// nextShard returns the shard of the next session. All get the same number.
func (s *Server) nextShard() *shard {
	return s.shards[s.opened.Add(1)%uint64(len(s.shards))]
}

// handle connects melody's events with the clients.
func (s *Server) handle(m *melody.Melody) {
	m.HandleConnect(func(m *melody.Session) { clientOf(m).open(m) })
	m.HandleMessage(func(m *melody.Session, data []byte) { clientOf(m).receive(data, false) })
	m.HandleMessageBinary(func(m *melody.Session, data []byte) { clientOf(m).receive(data, true) })
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
	m.Config.MessageBufferSize = 1 // what ends the write pump: see client.open
	m.Config.PongWait = cfg.PongWait
	m.Upgrader = &websocket.Upgrader{
		ReadBufferSize:  256, // large reads bypass it
		WriteBufferSize: 256, // for what ends the write pump
		WriteBufferPool: &sync.Pool{},
		CheckOrigin:     func(*http.Request) bool { return true }, // the Registry checks it
	}
	return m
}

// Stats returns what was counted since New.
func (s *Server) Stats() Stats { return s.counters.stats() }

// Output returns what was written since New.
func (s *Server) Output() session.Output {
	c := &s.counters
	messages := c.messagesOut.Load() // before framesOut, in which they are too
	out := session.Output{
		Messages: messages, Notices: c.framesOut.Load() - messages,
		Writes: c.writesOut.Load(), Bytes: c.bytesOut.Load(), Delay: s.delay.Read(),
	}
	for i := range s.flushed {
		out.Delay = out.Delay.Plus(s.flushed[i].Read())
	}
	return out
}
