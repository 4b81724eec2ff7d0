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

// A Pipeline collects the commands of one transport.Driver.Publish.
type Pipeline struct {
	pipe redis.Pipeliner
	cmds []redis.Cmder // nil where the record was refused before it was sent
	errs []error       // nil as long as there is none, else one for each record
	n    int           // records
}

// NewPipeline returns an empty pipeline for n records.
func NewPipeline(c *redis.Client, n int) *Pipeline {
	return &Pipeline{pipe: c.Pipeline(), cmds: make([]redis.Cmder, 0, n), n: n}
}

// Add adds the command of the next record.
func (p *Pipeline) Add(ctx context.Context, args ...any) {
	cmd := redis.NewCmd(ctx, args...)
	_ = p.pipe.Process(ctx, cmd) // it only queues
	p.cmds = append(p.cmds, cmd)
}

// Refuse says that the next record cannot be sent.
func (p *Pipeline) Refuse(err error) {
	p.cmds = append(p.cmds, nil)
	p.fail(len(p.cmds)-1, err)
}

// Exec sends all in order, once, and returns one error for each record that
// the server did not take or for which that is unknown; nil if there is none.
func (p *Pipeline) Exec(ctx context.Context) []error {
	if p.pipe.Len() == 0 {
		return p.errs
	}
	if _, err := p.pipe.Exec(ctx); err == nil {
		return p.errs
	} else if answer := redis.Error(nil); !errors.As(err, &answer) {
		p.blame(err)
	}
	for i, c := range p.cmds {
		if c != nil && c.Err() != nil {
			p.fail(i, refused(Classify(c.Err())))
		}
	}
	return p.errs
}

// blame gives the error of the whole to the commands that have neither a
// result nor an error: go-redis does not when it cannot connect.
func (p *Pipeline) blame(err error) {
	for _, c := range p.cmds {
		if cmd, ok := c.(*redis.Cmd); ok && cmd.Err() == nil && cmd.Val() == nil {
			cmd.SetErr(err)
		}
	}
}

func (p *Pipeline) fail(i int, err error) {
	if p.errs == nil {
		p.errs = make([]error, p.n)
	}
	p.errs[i] = err
}

// Close closes a client; a second time does nothing.
func Close(c *redis.Client) error {
	if err := c.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("close redis: %w", err)
	}
	return nil
}
