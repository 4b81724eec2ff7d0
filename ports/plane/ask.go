package plane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// Bounds of questions.
const (
	// MaxAsk is the longest that a question waits for answers.
	MaxAsk = 5 * time.Second
	// answerWithin is how long an [Answerer] may take: the asker should learn that it was
	// too slow.
	answerWithin = MaxAsk - time.Second
	// answering is how many questions of other nodes are answered at a time.
	answering = 8
)

// An Answerer answers the questions of one kind that nodes ask each other, see [Plane.Ask].
// The body belongs to it, and is JSON or empty; so is the answer, of at most
// [control.MaxBody] bytes, which must not be changed any more. What an error says is what the
// asker is told. It is called by several goroutines, without a lock, and returns soon after
// ctx has ended.
//
// A question may be answered more than once, and the answer may get lost, so an Answerer
// looks at what the node knows and changes nothing.
type Answerer func(ctx context.Context, body []byte) (answer []byte, err error)

// Answerers are what a node answers, by kind. They are safe for concurrent use.
type Answerers struct {
	node   string
	mu     sync.RWMutex
	byKind map[string]Answerer // guarded by mu
}

// NewAnswerers returns Answerers of a node that answers nothing.
func NewAnswerers(node string) *Answerers {
	return &Answerers{node: node, byKind: make(map[string]Answerer)}
}

// Handle makes an Answerer the one for a kind, at any time. Each kind has one. Nodes that
// have none for a kind answer [control.UnknownKind].
func (a *Answerers) Handle(kind string, with Answerer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byKind[kind] = with
}

// Ask is [Plane.Ask] for a node whose control plane is off: it alone answers, and the answers
// are not complete.
func (a *Answerers) Ask(ctx context.Context, kind string, body []byte) (control.Answers, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answer, err := a.answer(ctx, kind, body)
	own := control.Answer{Node: a.node}
	own.Body, own.Err = control.Answered(answer, err)
	return control.Answers{From: []control.Answer{own}}, nil
}

// errUnknown is the answer to a question of a kind that the node does not know.
var errUnknown = errors.New(control.UnknownKind)

// answer has a question answered. A panic of the Answerer becomes an error.
func (a *Answerers) answer(ctx context.Context, kind string, body []byte) (answer []byte, err error) {
	a.mu.RLock()
	with := a.byKind[kind]
	a.mu.RUnlock()
	if with == nil {
		return nil, errUnknown
	}
	defer func() {
		if fault := recover(); fault != nil {
			answer, err = nil, &panicked{fault: fault, stack: debug.Stack()}
		}
	}()
	return with(ctx, body)
}

// A panicked is the error of an Answerer that has caused a panic.
type panicked struct {
	fault any
	stack []byte
}

func (*panicked) Error() string { return "the answerer has failed: the node's log says why" }

// Handle makes an [Answerer] the one for a kind: see [Answerers.Handle].
func (p *Plane) Handle(kind string, with Answerer) { p.cfg.Answerers.Handle(kind, with) }

// Ask asks all live nodes, this one too, and returns when each has answered, when ctx has
// ended, or after [MaxAsk]. What came until then is returned without an error: the answers
// say which nodes were silent. Body is JSON or empty, and must not be changed any more.
//
// It takes one message on the control topic to ask, and one of each node to answer; questions
// and answers that gather within Config.Interval share a message. What the bus has lost is
// said again.
//
// The error wraps [domain.ErrInvalid] if the kind or the body cannot be sent,
// [domain.ErrLimit] if [control.MaxQuestions] are open, and [domain.ErrClosed] if the node
// has ended.
func (p *Plane) Ask(ctx context.Context, kind string, body []byte) (control.Answers, error) {
	ctx, cancel := context.WithTimeout(ctx, MaxAsk)
	defer cancel()
	id, err := p.pose(kind, body)
	if err != nil {
		return control.Answers{}, err
	}
	defer p.withdraw(id)
	p.nudge()
	answer, err := p.answer(ctx, kind, body)
	for {
		a, done, changed := p.answers(id)
		if !done {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
			case <-p.done:
			}
			a, _, _ = p.answers(id) // what came meanwhile
		}
		return p.withOwn(a, answer, err), nil
	}
}

// pose asks the other nodes.
func (p *Plane) pose(kind string, body []byte) (id string, err error) {
	select {
	case <-p.done:
		return "", fmt.Errorf("plane: the node has ended: %w", domain.ErrClosed)
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Ask(p.now(), kind, body)
}

func (p *Plane) withdraw(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Withdraw(id)
}

// answers returns what has been answered to a question, and what is closed when that may have
// changed.
func (p *Plane) answers(id string) (a control.Answers, done bool, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, done = p.machine.Answers(p.now(), id)
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return a, done, p.changed
}

// withOwn adds the answer of this node.
func (p *Plane) withOwn(a control.Answers, answer []byte, err error) control.Answers {
	p.mu.Lock()
	own := control.Answer{Node: p.cfg.Control.Node, Incarnation: p.machine.Incarnation()}
	p.mu.Unlock()
	own.Body, own.Err = control.Answered(answer, err)
	at, _ := slices.BinarySearchFunc(a.From, own, func(a, b control.Answer) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Incarnation, b.Incarnation))
	})
	a.From = slices.Insert(a.From, at, own)
	return a
}

// answer has a question answered by this node.
func (p *Plane) answer(ctx context.Context, kind string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answer, err := p.cfg.Answerers.answer(ctx, kind, body)
	var fault *panicked
	if errors.As(err, &fault) {
		p.panics.Add(1)
		p.cfg.Logger.Error("a question of a node caused a panic", "kind", kind,
			"panic", fmt.Sprint(fault.fault), "stack", string(fault.stack))
	}
	return answer, err
}

// answer starts to answer what other nodes have asked, as long as no more than answering
// questions are being answered.
func (l *loop) answer(ctx context.Context, work *sync.WaitGroup) {
	for _, q := range l.p.questions(answering - int(l.answers.Load())) {
		l.answers.Add(1)
		work.Go(func() {
			answer, err := l.p.answer(ctx, q.Kind, q.Body)
			l.answers.Add(-1)
			l.p.answered(q.ID, answer, err)
			l.p.nudge()
		})
	}
}

func (p *Plane) questions(most int) []control.Question {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Questions(most)
}

func (p *Plane) answered(id string, answer []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Answer(p.now(), id, answer, err)
}
