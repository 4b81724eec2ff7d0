package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/domain"
)

// errNoReply marks a command that the server may or may not have executed.
var errNoReply = errors.New("redis gave no answer that proves that it has the message")

// errDownNoReply is errNoReply as package domain classifies it.
var errDownNoReply = fmt.Errorf("%w: %w", domain.ErrBusDown, errNoReply)

// A Proof reports whether a reply is one that the command gives only after it has
// done its work.
type Proof func(reply any) bool

// IsEntryID is the [Proof] of an XADD, which replies with the new entry's id.
func IsEntryID(reply any) bool {
	id, ok := reply.(string)
	if !ok {
		return false
	}
	ms, seq, found := strings.Cut(id, "-")
	return found && isNumber(ms) && isNumber(seq)
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// IsCount is the [Proof] of a PUBLISH, which replies with the number of
// subscribers that received the message.
func IsCount(reply any) bool {
	n, ok := reply.(int64)
	return ok && n >= 0
}

// A Pipeline collects the commands of one call of transport.Driver.Publish: one
// command for each record, in order. [Pipeline.Exec] sends them.
//
// A record counts as published only if the reply to its own command was received
// and is proof. That go-redis reports no error for a command is not enough: it
// may report none for commands that it never sent.
type Pipeline struct {
	masters *Masters
	records []record
	size    int // how many records the caller is going to add
}

// A record is one command of a Pipeline.
type record struct {
	topic string
	args  []any
	proof Proof
	cmd   *redis.Cmd // nil if the command could not be sent
	addr  string     // of the server that it was sent to last; "" without a cluster
	err   error      // why the record is not, or may not be, published; nil if it is
}

// NewPipeline returns an empty pipeline for size records.
func (m *Masters) NewPipeline(size int) *Pipeline {
	return &Pipeline{masters: m, records: make([]record, 0, size), size: size}
}

// Add adds the command of the next record, which goes to the server that holds the
// topic.
func (p *Pipeline) Add(topic string, proof Proof, args ...any) {
	p.records = append(p.records, record{topic: topic, args: args, proof: proof})
}

// Refuse adds the next record without a command. Exec returns err for it.
func (p *Pipeline) Refuse(err error) { p.records = append(p.records, record{err: err}) }

// Exec sends all commands, those of each topic in order. It returns nil if every
// record was published. Otherwise it returns one error for each record, which is nil
// for those that were published. An error that wraps [domain.ErrBusRefused] says that
// the server does not have the record; with any other the server may have it.
//
// A command is sent once. Only if a server of a cluster has replied that another one
// has the topic, and so has not executed the command, it is sent to that.
func (p *Pipeline) Exec(ctx context.Context) (errs []error) {
	p.sendAll(ctx)
	for i := range p.size {
		err := errDownNoReply // for a record that the caller never added
		if i < len(p.records) {
			err = p.records[i].err
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

// Reply returns the server's reply to the command of record i, after Exec, and the address
// of the server; "" without a cluster. It reports false if the record was not published.
func (p *Pipeline) Reply(i int) (reply any, addr string, ok bool) {
	if i >= len(p.records) || p.records[i].err != nil {
		return nil, "", false
	}
	r := &p.records[i]
	return r.cmd.Val(), r.addr, true
}

// send sends records to one server, and notes what has become of each.
func (m *Masters) send(ctx context.Context, to target, records []*record) {
	client, err := m.client(to.addr)
	if err != nil {
		for _, r := range records {
			r.err = err
		}
		return
	}
	pipe := client.Pipeline()
	for _, r := range records {
		if to.asking {
			_ = pipe.Process(ctx, redis.NewCmd(ctx, "ASKING"))
		}
		r.cmd, r.addr = redis.NewCmd(ctx, r.args...), to.addr
		_ = pipe.Process(ctx, r.cmd) // it only queues the command, and cannot fail
	}
	_, execErr := pipe.Exec(ctx)
	if errors.Is(execErr, redis.ErrClosed) { // nothing was sent
		for _, r := range records {
			r.err = Classify(m.departed(to.addr, execErr))
		}
		return
	}
	noReply := errorWithoutReply(m.server.Explain("", execErr), records)
	for _, r := range records {
		r.err = r.outcome(m.server, noReply)
	}
	if _, answered := serverAnswer(execErr); execErr != nil && !answered {
		m.doubt()
	}
}

// errorWithoutReply returns the error of a record that has neither a reply nor an
// error of its own, given the error of the whole pipeline.
//
// If no command has a reply or an error, but the server has answered with an
// error, then it has refused the login, and none of the commands was sent.
func errorWithoutReply(execErr error, records []*record) error {
	if execErr == nil {
		return errDownNoReply
	}
	for _, r := range records {
		if r.cmd.Val() != nil || r.cmd.Err() != nil {
			return errDownNoReply
		}
	}
	if _, ok := serverAnswer(execErr); ok {
		return classifyRefusal(fmt.Errorf("%w: %w", domain.ErrBusDown, execErr))
	}
	return Classify(execErr)
}

// outcome returns nil if the reply to the record's command proves that the server
// took the record, even if go-redis set an error on the command because a later
// one failed. Without a reply and an error it returns noReply.
func (r *record) outcome(s *Server, noReply error) error {
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
		return classifyRefusal(s.Explain(r.topic, err))
	}
	return noReply
}
