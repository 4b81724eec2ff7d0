package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/domain"
)

// maxTopic is the longest name of a topic, in bytes.
const maxTopic = 1024

// CheckTopic says whether Redis can carry a topic of this name, and a person
// still type it.
func CheckTopic(topic string) error {
	if topic == "" || len(topic) > maxTopic || strings.ContainsAny(topic, "\x00\r\n") {
		return &domain.FieldError{Path: "topic", Problem: fmt.Sprintf("want 1 to %d bytes without line breaks", maxTopic)}
	}
	return nil
}

// A Proof says whether a reply is what a command answers only when it has done
// its work.
type Proof func(reply any) bool

// IsEntryID is the Proof of an XADD: it answers the new entry's id.
func IsEntryID(reply any) bool {
	id, ok := reply.(string)
	if !ok {
		return false
	}
	ms, seq, found := strings.Cut(id, "-")
	return found && isNumber(ms) && isNumber(seq)
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// IsCount is the Proof of a PUBLISH: it answers how many subscribers got it.
func IsCount(reply any) bool {
	n, ok := reply.(int64)
	return ok && n >= 0
}

var errNoReply = errors.New("redis gave no answer that proves that it has the message")

// A Pipeline collects the commands of one transport.Driver.Publish. A record
// counts as taken only if its own reply was seen and proves it. go-redis is not
// asked whether there was an error: it may leave commands without one that were
// never sent.
type Pipeline struct {
	pipe    redis.Pipeliner
	records []record
	size    int // how many records there are to be
}

// A record is a command of a Pipeline and what proves that it was done, or why
// it cannot be sent.
type record struct {
	cmd     *redis.Cmd
	proof   Proof
	invalid error
}

// NewPipeline returns an empty pipeline for n records.
func NewPipeline(c *redis.Client, n int) *Pipeline {
	return &Pipeline{pipe: c.Pipeline(), records: make([]record, 0, n), size: n}
}

// Add adds the command of the next record.
func (p *Pipeline) Add(ctx context.Context, proof Proof, args ...any) {
	cmd := redis.NewCmd(ctx, args...)
	_ = p.pipe.Process(ctx, cmd) // it only queues
	p.records = append(p.records, record{cmd: cmd, proof: proof})
}

// Refuse says that the next record cannot be sent.
func (p *Pipeline) Refuse(err error) { p.records = append(p.records, record{invalid: err}) }

// Exec sends all in order, once, and returns one error for each record that
// the server did not take or for which that is unknown; nil if there is none.
func (p *Pipeline) Exec(ctx context.Context) (errs []error) {
	var whole error
	if p.pipe.Len() > 0 {
		_, whole = p.pipe.Exec(ctx)
	}
	whole = p.errorWithoutReply(whole)
	for i := range p.size {
		err := whole // of a record that was never added
		if i < len(p.records) {
			err = p.records[i].outcome(whole)
		}
		if err == nil {
			continue
		}
		if errs == nil {
			errs = make([]error, p.size)
		}
		errs[i] = err
	}
	return errs
}

// errorWithoutReply says what the error of the whole means for a record that has neither
// an answer nor an error of its own. If no record has one, and the server has
// answered with a refusal all the same, that was to the login: nothing was sent.
func (p *Pipeline) errorWithoutReply(whole error) error {
	if whole == nil {
		return fmt.Errorf("%w: %w", domain.ErrBusDown, errNoReply)
	}
	for _, r := range p.records {
		if r.cmd != nil && (r.cmd.Val() != nil || r.cmd.Err() != nil) {
			return fmt.Errorf("%w: %w", domain.ErrBusDown, errNoReply)
		}
	}
	if _, ok := serverAnswer(whole); ok {
		// Whatever it answered: we are not in.
		return classifyRefusal(fmt.Errorf("%w: %w", domain.ErrBusDown, whole))
	}
	return Classify(whole)
}

// outcome is nil if the record's own reply proves that the server took it, also
// if go-redis gave the command an error of what came later. silence is the error
// if there is no reply.
func (r record) outcome(silence error) error {
	if r.invalid != nil {
		return r.invalid
	}
	reply, err := r.cmd.Val(), r.cmd.Err()
	switch {
	case reply != nil && r.proof(reply):
		return nil
	case reply != nil:
		text := fmt.Sprint(reply)
		return fmt.Errorf("%w: %w: it answered %.64q", domain.ErrBusDown, errNoReply, text)
	case errors.Is(err, redis.Nil):
		return fmt.Errorf("%w: %w: it answered nil", domain.ErrBusDown, errNoReply)
	case err != nil:
		return classifyRefusal(err)
	}
	return silence
}

// Close closes a client; a second time does nothing.
func Close(c *redis.Client) error {
	if err := c.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("close redis: %w", err)
	}
	return nil
}
