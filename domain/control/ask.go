package control

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// A Question is what one node asks all others. What it is about is its kind; what stands in
// the body, and in that of an answer, is known to whoever answers that kind.
type Question struct {
	ID   string
	Kind string
	Body []byte // JSON, or nothing
}

// An Answer is what one node has answered.
type Answer struct {
	Node        string
	Incarnation string
	Body        []byte // JSON; nothing if Err is set, and perhaps otherwise
	Err         string // why the node has no answer, such as [UnknownKind]; "" if it has one
}

// Answers are what became of a question.
type Answers struct {
	From []Answer // sorted by node and incarnation
	// Silent are the names of the live nodes that have not answered, sorted: they are of a
	// version that does not answer, they stand still, or the bus has lost what was said.
	Silent []string
	// Complete says that every live node has answered, with an error or without. It is false
	// as well while this node cannot know yet which nodes are alive.
	Complete bool
}

// What [Answer.Err] may be besides what an answerer makes up.
const (
	UnknownKind = "unknown"   // the node does not know the kind
	Busy        = "busy"      // the node has too many questions to answer
	TooLarge    = "too_large" // the answer has more than MaxBody bytes
)

// Bounds of questions and answers.
const (
	// MaxBody is how many bytes the body of a question or an answer may have. One
	// message has room for it whatever else it has to say.
	MaxBody = 32 << 10
	// MaxQuestions is how many questions of this node may be open at a time.
	MaxQuestions = 100

	maxTalk     = 100              // questions, and answers, in one message
	maxAsked    = 100              // questions of others that this node is about to answer
	maxReplies  = 1 << 20          // bytes of answers that are not said yet
	maxErr      = 256              // bytes of an Answer.Err
	askedWithin = 10 * time.Second // nobody waits for the answer to a question that is older
)

// talk is what this node asks others and answers them.
type talk struct {
	open map[string]*asking // own questions
	due  []*asking          // those to be said next

	asked   []Question      // of others, which the port has not taken yet; oldest first
	working map[string]bool // ids of the questions of others whose answer is not on the bus yet
	replies []reply         // answers that are to be said
	size    int             // bytes of those

	yields bool // the next message says other things first: the last one had little room for them
}

// An asking is a question of this node's.
type asking struct {
	Question
	asked   map[string]string // the names of the incarnations that were alive when it was asked
	answers map[string]Answer // by incarnation
	queued  bool              // it is in talk.due
	again   bool              // it was said before: it asks only whoever has not answered
	said    time.Duration     // when it was said last, on Now.Mono
}

// An ask is a question on its way.
type ask struct {
	id, kind string
	to       []string // incarnations; none: all
	body     []byte
}

// A reply is an answer on its way.
type reply struct {
	id   string // of the question
	body []byte
	err  string
}

// Ask asks all other live nodes. The question is open until [Machine.Withdraw]. The error
// wraps [domain.ErrInvalid], or [domain.ErrLimit] if [MaxQuestions] are open.
func (m *Machine) Ask(now Now, kind string, body []byte) (id string, err error) {
	if len(kind) > maxID || kind == "" || textSize(kind) > len(kind) {
		return "", fault("kind", "want 1 to %d characters that JSON does not escape", maxID)
	}
	if len(body) > m.largestBody() {
		return "", fault("body", "want at most %d bytes, this one has %d", m.largestBody(), len(body))
	}
	if err := checkBody(body); err != nil {
		return "", fault("body", "want JSON: %v", err)
	}
	if len(m.talk.open) >= MaxQuestions {
		return "", fmt.Errorf("control: %d questions are open: %w", len(m.talk.open), domain.ErrLimit)
	}
	now = m.enter(now)
	q := &asking{
		Question: Question{ID: m.version.next(now.Wall, m.cfg.Incarnation).id(), Kind: kind, Body: body},
		asked:    make(map[string]string, len(m.nodes.list)), answers: make(map[string]Answer),
	}
	for _, p := range m.nodes.list {
		q.asked[p.inc] = p.name
	}
	if m.talk.open == nil {
		m.talk.open = make(map[string]*asking)
	}
	m.talk.open[q.ID] = q
	m.stats.Questions++
	if len(q.asked) > 0 {
		m.pose(q)
	}
	return q.ID, nil
}

// largestBody returns how many bytes a body may have.
func (m *Machine) largestBody() int {
	return min(MaxBody, m.cfg.Message-reserve-beatSize-17*bucketCount-maxErr)
}

// checkBody checks that a body is JSON, also as deep in a message as it is going to be.
func checkBody(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	if err := jsontext.Valid(body); err != nil {
		return err
	}
	return jsontext.Valid(slices.Concat([]byte("[[["), body, []byte("]]]")))
}

// pose has a question said.
func (m *Machine) pose(q *asking) {
	if !q.queued {
		q.queued = true
		m.talk.due = append(m.talk.due, q)
	}
}

// pending returns the incarnations that have still to answer. A node whose next incarnation
// is alive was started again, and does not answer any more.
func (q *asking) pending(n *nodes) (incs []string) {
	for inc := range q.asked {
		if p := n.peers[inc]; p != nil && !p.followed {
			if _, has := q.answers[inc]; !has {
				incs = append(incs, inc)
			}
		}
	}
	slices.Sort(incs)
	return incs
}

// Answers returns what has been answered to an open question. It does not have the answer of
// this node. Done says that nobody is left who has to answer.
func (m *Machine) Answers(now Now, id string) (a Answers, done bool) {
	m.enter(now)
	q := m.talk.open[id]
	if q == nil {
		return a, true
	}
	a.From = slices.SortedFunc(maps.Values(q.answers), func(a, b Answer) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Incarnation, b.Incarnation))
	})
	done = len(q.pending(m.nodes)) == 0
	for inc, name := range q.asked {
		p := m.nodes.peers[inc]
		if _, has := q.answers[inc]; !has && (p == nil || !p.followed) {
			a.Silent = append(a.Silent, name)
		}
	}
	slices.Sort(a.Silent)
	a.Silent = slices.Compact(a.Silent)
	knows := m.hearing() && m.now.Mono-m.self.echoedAt >= m.cfg.Heartbeat*3/2
	a.Complete = len(a.Silent) == 0 && knows
	return a, done
}

// Withdraw ends that a question is open.
func (m *Machine) Withdraw(id string) { delete(m.talk.open, id) }

// Questions returns questions of other nodes, at most most, oldest first, and each once.
// [Machine.Answer] is called for each of them, soon.
func (m *Machine) Questions(most int) []Question {
	n := min(most, len(m.talk.asked))
	asked := m.talk.asked[:n:n]
	m.talk.asked = m.talk.asked[n:]
	return asked
}

// Answer answers a question of another node. The body must not be changed any more.
func (m *Machine) Answer(now Now, id string, body []byte, err error) {
	m.enter(now)
	if !m.talk.working[id] {
		return
	}
	body, text := Answered(body, err)
	if len(body) > m.largestBody() {
		body, text = nil, TooLarge
	}
	m.stats.Answers++
	m.reply(reply{id: id, body: body, err: text})
}

// Answered returns what an [Answer] has of what an answerer returned.
func Answered(body []byte, err error) (_ []byte, text string) {
	switch {
	case err != nil:
		text = err.Error()
		return nil, strings.ToValidUTF8(text[:min(len(text), maxErr)], "")
	case len(body) > MaxBody:
		return nil, TooLarge
	case checkBody(body) != nil:
		return nil, "the answer is not JSON"
	}
	return body, ""
}

// reply has an answer said. If too many are to be said, the oldest ones are not.
func (m *Machine) reply(r reply) {
	t := &m.talk
	t.replies = append(t.replies, r)
	for t.size += r.size(); t.size > maxReplies; {
		m.refuse("too_many_answers")
		m.dropReply()
	}
}

// dropReply takes the oldest answer off the queue.
func (m *Machine) dropReply() {
	t := &m.talk
	t.size -= t.replies[0].size()
	delete(t.working, t.replies[0].id)
	t.replies[0] = reply{}
	t.replies = t.replies[1:]
}

func (r *reply) size() int { return len(r.id) + len(r.body) + len(r.err) + maxID }
