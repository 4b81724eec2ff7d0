package redisconn

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Client returns the client for commands that do not publish. It tries each command
// once and ends with the context of a call. In a cluster each command goes to the
// master that holds its topic, and follows it if it has moved; a command without a
// topic, and a pipeline, cannot be sent then. The client is closed by [Masters.Close].
func (m *Masters) Client() *redis.Client { return m.router }

// newRouter returns a client that connects to nothing: its commands are sent by the
// clients of the masters.
func newRouter(m *Masters) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: m.server.addrs[0], Protocol: 2, DisableIdentity: true})
	c.AddHook(routerHook{m})
	return c
}

// A routerHook sends commands to the master that holds their topic.
type routerHook struct{ masters *Masters }

func (routerHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h routerHook) ProcessHook(redis.ProcessHook) redis.ProcessHook { return h.masters.process }

func (routerHook) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(context.Context, []redis.Cmder) error {
		return fmt.Errorf("%w: a pipeline to several masters", errProtocol)
	}
}

// process sends a command to the master that holds its topic.
func (m *Masters) process(ctx context.Context, cmd redis.Cmder) error {
	topic, ok := topicOf(cmd)
	if !ok {
		return fmt.Errorf("%w: %s names no topic", errProtocol, cmd.Name())
	}
	addr, err := m.Find(ctx, topic)
	if err != nil {
		return err
	}
	to := target{addr: addr}
	for range maxRedirects + 1 {
		if err = m.processAt(ctx, to, cmd); err == nil || err == redis.Nil {
			return err
		}
		next, ok := m.follow(err, to)
		if !ok {
			return err
		}
		to = next
	}
	return err
}

// processAt sends a command to one server.
func (m *Masters) processAt(ctx context.Context, to target, cmd redis.Cmder) error {
	client, err := m.client(to.addr)
	if err != nil {
		return err
	}
	if !to.asking {
		return m.departed(to.addr, client.Process(ctx, cmd))
	}
	pipe := client.Pipeline()
	_ = pipe.Process(ctx, redis.NewCmd(ctx, "ASKING"))
	_ = pipe.Process(ctx, cmd)
	_, err = pipe.Exec(ctx)
	return m.departed(to.addr, err)
}

// topicOf returns the topic that a command on streams is about.
func topicOf(cmd redis.Cmder) (string, bool) {
	args, at := cmd.Args(), 1
	switch cmd.Name() {
	case "xinfo", "xgroup":
		at = 2
	case "xread", "xreadgroup":
		for at < len(args) && !strings.EqualFold(fmt.Sprint(args[at]), "streams") {
			at++
		}
		at++
	}
	if at >= len(args) {
		return "", false
	}
	topic, ok := args[at].(string)
	return topic, ok
}

// Time returns the time by the clock of the server that holds a topic.
func (m *Masters) Time(ctx context.Context, topic string) (time.Time, error) {
	addr, err := m.Find(ctx, topic)
	if err != nil {
		return time.Time{}, err
	}
	client, err := m.client(addr)
	if err != nil {
		return time.Time{}, err
	}
	now, err := client.Time(ctx).Result()
	return now, m.departed(addr, err)
}
