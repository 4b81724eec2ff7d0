package plane_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/plane"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var topics, _ = domain.ParseTopics("fanfare.{system}")

const topic = "fanfare._control"

func system(name string) domain.System {
	s, err := domain.ParseSystem(name)
	if err != nil {
		panic(err)
	}
	return s
}

var chat = control.Place{System: system("chat")}

// only returns what says yes to some systems.
func only(names ...string) func(domain.System) bool {
	return func(s domain.System) bool {
		for _, name := range names {
			if s.String() == name {
				return true
			}
		}
		return false
	}
}

// A node is a Plane on a link of a bus, with the sessions that it acts on.
type node struct {
	*plane.Plane
	t    *testing.T
	link *faulty.Link
	own  *transport.Transport
	logs *logs

	stop   func()        // ends Run, and returns when it has ended
	cancel func()        // ends the context of Run
	end    chan struct{} // see plane.Node.Ended
	ran    chan struct{} // closed when Run has ended

	refusesWrites, refusesReads atomic.Bool // of the control topic
	refusesEvents               atomic.Bool // of the topic of events of chat

	mu      sync.Mutex
	did     []string
	changes []control.Change
	status  control.Status
}

// start runs a node on the bus.
func start(t *testing.T, bus *faulty.Bus, name string, change ...func(*plane.Config)) *node {
	return startOn(t, bus.Link(), !bus.Lossy(), name, change...)
}

func startOn(t *testing.T, link *faulty.Link, hasLog bool, name string, change ...func(*plane.Config)) *node {
	t.Helper()
	n := &node{t: t, link: link, logs: &logs{}, end: make(chan struct{}), ran: make(chan struct{})}
	n.own = n.transport(link)
	n.begin([]plane.Bus{n.own}, n, hasLog, name, change...)
	return n
}

// transport opens the bus on a link.
func (n *node) transport(link *faulty.Link) *transport.Transport {
	d := link.Driver()
	log, isLog := d.(transport.LogDriver)
	p := picky{Driver: d, n: n}
	if isLog {
		return transport.New(pickyLog{p, log}, transport.Config{})
	}
	return transport.New(p, transport.Config{})
}

func (n *node) begin(buses []plane.Bus, out plane.Publisher, hasLog bool, name string, change ...func(*plane.Config)) {
	cfg := plane.Config{
		Control: control.Config{Node: name, Log: hasLog, Presence: only("chat")},
		Topics:  topics,
		Deaf:    func(topic string) bool { return slices.Contains(n.own.DeafTopics(), topic) },
		Logger:  slog.New(slog.NewTextHandler(n.logs, nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	n.Plane = plane.New(buses, out, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	n.cancel = cancel
	work.Go(func() {
		defer close(n.ran)
		if err := n.Run(ctx, n); err != nil {
			n.t.Error(err)
		}
	})
	watching, endWatch := context.WithCancel(context.Background())
	work.Go(func() { _ = n.own.Run(watching, n.SetBusUp) })
	n.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-n.end:
		default:
			close(n.end)
		}
		<-n.ran
		endWatch()
		work.Wait()
		_ = n.own.Close()
	})
	n.t.Cleanup(n.stop)
}

// PublishRaw publishes on the node's own link.
func (n *node) PublishRaw(ctx context.Context, topic string, payloads ...[]byte) (accepted int, err error) {
	return publishOn(ctx, n.own, topic, payloads...)
}

func publishOn(ctx context.Context, to *transport.Transport, topic string, payloads ...[]byte) (accepted int, err error) {
	var all []*message.Message
	for _, p := range payloads {
		m := message.NewMessage(domain.NewID(), p)
		m.Metadata.Set(transport.RawKey, "1")
		all = append(all, m)
	}
	err = to.PublishContext(ctx, topic, all...)
	var partly *domain.PublishError
	switch {
	case err == nil:
		return len(payloads), nil
	case errors.As(err, &partly):
		return partly.Accepted, err
	}
	return 0, err
}

func (n *node) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.did = append(n.did, fmt.Sprintf(format, args...))
}

// done returns what was done to the node's sessions.
func (n *node) done() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.did, ", ")
}

func (n *node) Disconnect(user string, v control.Value) int {
	n.note("disconnect %s %s", user, v.Reason)
	return 1
}

func (n *node) DisconnectSession(id string, _ control.Value) bool {
	n.note("disconnect session %s", id)
	return true
}

func (n *node) Rebalance(v control.Value) { n.note("rebalance %d/s", v.Rate) }

func (n *node) Review(user string) int {
	n.note("review %s", user)
	return 0
}

func (n *node) ReviewToken(jti string) int {
	n.note("review token %s", jti)
	return 0
}

func (n *node) Marks(int) ([]control.Mark, bool) { return nil, false }

func (n *node) PresenceChanged(c control.Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changes = append(n.changes, c)
}

func (n *node) Status() control.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}

func (n *node) Ended() <-chan struct{} { return n.end }

// names returns the names of the nodes that the node knows as live.
func (n *node) names() string {
	var all []string
	for _, o := range n.Nodes() {
		all = append(all, o.Name)
	}
	return strings.Join(all, " ")
}

// users returns who is in chat.
func (n *node) users() string {
	page, err := n.Presence(chat, "", 1000)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, u := range page.Users {
		all = append(all, u.User)
	}
	return strings.Join(all, " ")
}

// command is Command with a wait of 2 s.
func (n *node) command(kind control.Kind, name string) (control.Outcome, error) {
	return n.Command(n.t.Context(), control.Key{Kind: kind, Name: name}, control.Value{Reason: "why"},
		time.Minute, false, 2*time.Second)
}

// logs are the lines that a node has logged.
type logs struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(b)
}

// count returns how many lines have some words.
func (l *logs) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.lines.String(), words)
}

// picky is a driver that refuses what its node says.
type picky struct {
	transport.Driver
	n *node
}

func (p picky) Publish(ctx context.Context, records []transport.Outgoing) []error {
	errs := make([]error, len(records))
	for i, r := range records {
		if r.Topic == topic && p.n.refusesWrites.Load() || r.Topic == "fanfare.chat.events" && p.n.refusesEvents.Load() {
			errs[i] = domain.Refused(errors.New("no permission"))
		} else if fault := p.Driver.Publish(ctx, records[i:i+1]); fault != nil {
			errs[i] = fault[0]
		}
	}
	if errors.Join(errs...) == nil {
		return nil
	}
	return errs
}

func (p picky) Follow(ctx context.Context, name string, after domain.Position) (transport.Feed, error) {
	if name == topic && p.n.refusesReads.Load() {
		return nil, errors.New("no permission")
	}
	return p.Driver.Follow(ctx, name, after)
}

type pickyLog struct {
	picky
	log transport.LogDriver
}

func (p pickyLog) FollowSince(ctx context.Context, name string, t time.Time) (transport.Feed, error) {
	if name == topic && p.n.refusesReads.Load() {
		return nil, errors.New("no permission")
	}
	return p.log.FollowSince(ctx, name, t)
}

func (p pickyLog) Tail(ctx context.Context, name string) (domain.Position, error) {
	return p.log.Tail(ctx, name)
}
