package clients_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/test/clientkit"
)

func TestGo(t *testing.T) {
	play(t, openGo)
}

// openGo starts the driver of package client, in this process.
func openGo(context.Context) (io.ReadWriteCloser, error) {
	commands, toDriver := io.Pipe()
	fromDriver, lines := io.Pipe()
	d := &goDriver{out: json.NewEncoder(lines), pipe: pipe{fromDriver, toDriver}}
	go func() {
		d.drive(commands)
		commands.Close()
		lines.Close()
	}()
	return d, nil
}

type pipe struct {
	*io.PipeReader
	*io.PipeWriter
}

func (p pipe) Close() error { return errors.Join(p.PipeWriter.Close(), p.PipeReader.Close()) }

// goDriver drives package client.
type goDriver struct {
	pipe
	mu  sync.Mutex
	out *json.Encoder // guarded by mu

	client *client.Client
	stop   context.CancelFunc
	ended  chan struct{} // closed when Run has returned
}

// A command is a line that a driver reads.
type command struct {
	Do, Ref, URL string
	Systems      []string
	Rooms        []string
	Cursors      map[string]string
	From         map[string]string
	Last         map[string]int
	Tokens       []*string
	TimeoutMS    int `json:"timeout_ms"`

	System, Room, Since string
	To, Type, ID        string
	Data                json.RawMessage
	Users               bool
}

func (d *goDriver) say(o clientkit.Op) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.out.Encode(o) // an error: nobody listens any more
}

func (d *goDriver) drive(commands io.Reader) {
	d.say(clientkit.Op{"e": "ready", "can": []string{"send", "status", "from", "last", "ack"}})
	var asked sync.WaitGroup
	defer asked.Wait()
	for lines := bufio.NewScanner(commands); lines.Scan(); {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			panic(err)
		}
		switch c.Do {
		case "start":
			d.start(c)
		case "stop":
			d.stop()
			<-d.ended
			asked.Wait()
			d.say(clientkit.Op{"e": "stopped"})
		case "cursors":
			d.say(clientkit.Op{"did": c.Ref, "cursors": d.client.Cursors()})
		default:
			asked.Go(func() { d.ask(c) })
		}
	}
	if d.stop != nil {
		d.stop()
		<-d.ended
	}
}

func (d *goDriver) start(c command) {
	cfg := client.Config{
		URL: c.URL, Systems: c.Systems, Rooms: c.Rooms, Resume: c.Cursors,
		Timeout: time.Duration(c.TimeoutMS) * time.Millisecond, Handler: d.handler(),
	}
	cfg.From = c.From
	if c.Last != nil {
		cfg.Last = map[string]client.Last{}
	}
	for system, count := range c.Last {
		cfg.Last[system] = client.Last{Count: count}
	}
	if c.Tokens != nil {
		cfg.Token = tokensOf(c.Tokens)
	}
	made, err := client.New(cfg)
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	d.client, d.stop, d.ended = made, stop, ended
	go func() {
		defer close(ended)
		if err := made.Run(ctx); err != nil {
			d.say(endedBy(err))
		}
	}()
}

// tokensOf returns the tokens one after the other, and the last one again and again. In
// place of a nil it returns an error.
func tokensOf(tokens []*string) func(context.Context) (string, error) {
	next := 0
	return func(context.Context) (string, error) {
		token := tokens[min(next, len(tokens)-1)]
		next++
		if token == nil {
			return "", errors.New("no token now")
		}
		return *token, nil
	}
}

func endedBy(err error) clientkit.Op {
	o := clientkit.Op{"e": "ended", "text": err.Error()}
	if closed := (*client.CloseError)(nil); errors.As(err, &closed) {
		o["code"], o["reason"] = closed.Code, closed.Reason
	}
	if refused := (*client.Refusal)(nil); errors.As(err, &refused) {
		o["status"] = refused.Status
	}
	return o
}

// handler writes what the client is told as it came, since that is what a driver writes.
func (d *goDriver) handler() client.Handler {
	tell := func(kind string, fields clientkit.Op) error {
		fields["e"] = kind
		d.say(fields)
		return nil
	}
	type ctx = context.Context
	return client.Handler{
		Hello: func(_ ctx, h *client.Hello) error {
			last := clientkit.Op{}
			for system, at := range h.Systems {
				if at.Last != nil {
					last[system] = clientkit.Op{"complete": at.Last.Complete, "reason": at.Last.Reason}
				}
			}
			return tell("open", clientkit.Op{"node": h.Node, "last": last})
		},
		Message: func(_ ctx, m *client.Message) error {
			o := clientkit.Op{"system": m.System, "id": m.ID, "to": m.To, "from": m.From, "type": m.Type, "content_type": m.ContentType}
			if m.Headers != nil {
				o["headers"] = m.Headers
			}
			switch {
			case strings.HasSuffix(m.ContentType, "json"):
				o["data"] = json.RawMessage(m.Data)
			case strings.HasPrefix(m.ContentType, "text/"):
				o["data"] = string(m.Data)
			default:
				o["data_base64"] = m.Data
			}
			return tell("message", o)
		},
		Gap: func(_ ctx, g *client.Gap) error {
			return tell("gap", clientkit.Op{"system": g.System, "reason": g.Reason, "after_ms": g.After.Milliseconds()})
		},
		Bus: func(_ ctx, up bool) error { return tell("bus", clientkit.Op{"up": up}) },
		Left: func(_ ctx, l *client.Left) error {
			return tell("left", clientkit.Op{"system": l.System, "room": l.Room, "reason": l.Reason})
		},
		Joined: func(_ ctx, j *client.Joined) error {
			return tell("joined", clientkit.Op{"system": j.System, "room": j.Room, "by": j.By})
		},
		Presence: func(_ ctx, p *client.Presence) error {
			return tell("presence", clientkit.Op{
				"system": p.System, "room": p.Room, "count": p.Count, "users": p.Users,
				"joined": p.Joined, "left": p.Left, "reason": p.Reason,
			})
		},
		Lost: func(_ ctx, l *client.Lost) error { return tell("lost", clientkit.Op{"text": fmt.Sprint(l.Err)}) },
	}
}

func (d *goDriver) ask(c command) {
	ctx, o, err := context.Background(), clientkit.Op{"did": c.Ref}, error(nil)
	switch c.Do {
	case "send":
		m := client.Sending{Type: c.Type, ID: c.ID, Data: c.Data}
		if c.To != "" {
			m.To = []string{c.To}
		}
		o["id"], err = d.client.Send(ctx, c.System, m)
	case "join":
		err = d.client.Join(ctx, c.System, c.Room, c.Since)
	case "leave":
		err = d.client.Leave(ctx, c.System, c.Room)
	case "watch":
		err = d.client.Watch(ctx, c.System, c.Room, c.Users)
	case "unwatch":
		err = d.client.Unwatch(ctx, c.System, c.Room)
	default:
		err = fmt.Errorf("%q is no command", c.Do)
	}
	refused := (*client.OpError)(nil)
	switch {
	case errors.As(err, &refused):
		o["error"] = refused.Code
	case errors.Is(err, client.ErrUnknown):
		o["error"] = "unknown"
	case err != nil:
		o["error"] = err.Error()
	}
	d.say(o)
}
