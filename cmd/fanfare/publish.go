package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// A publication is what the flags of `fanfare publish` say.
type publication struct {
	node, key, system   string
	to                  []string
	kind, id            string
	contentType         string
	data, text          string
	ttl                 time.Duration
	hasData, hasText    bool
	receipt             bool   // whoever gets it is to acknowledge it
	wait                string // for which receipts to wait, and how long; "" for none
	fromInput           bool   // messages come from standard input, a JSON object per line
	json                bool   // print what the bus has as JSON, with the cursor
	transport, template string // of the bus to publish to directly; "" for a node
}

func (a *app) publish() *cobra.Command {
	var p publication
	cmd := withSettings(&cobra.Command{
		Use:   "publish [-]",
		Short: "Publish messages: through a node, or straight to the bus",
		Long: `Publishes one message, or with - those that standard input holds, a JSON object per line. It prints
their ids once the bus has them. With --json it prints the ids of each request as a JSON object, with
the cursor after them if the bus keeps a log. It tries once; publishing again with the same id delivers once.`,
		Example: `  fanfare publish --system orders --to user:alice --type order.paid --data '{"n":1}'
  fanfare publish --system chat --to room:lobby --to user:bob --text 'hello' --ttl 1m
  echo '{"to":"user:alice","data":1}' | fanfare publish --system orders -
  fanfare publish --system orders --to user:alice --data 1 --wait acked:2s
  fanfare publish --transport redis://localhost:6379/0 --system orders --to '*' --data '"closing"'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "-" {
				return fmt.Errorf("unexpected argument %q: "+
					"a message comes from flags, or with - from standard input", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f := cmd.Flags()
			p.node = cmp.Or(p.node, a.env("URL"), localNode)
			p.key = cmp.Or(p.key, a.env("KEY"))
			p.hasData, p.hasText = f.Changed("data"), f.Changed("text")
			p.fromInput = len(args) == 1
			if f.Changed("transport") || f.Changed("transport_file") {
				s, err := a.load(cmd)
				if err != nil {
					return err
				}
				p.transport, p.template = s.Config.Transport, s.Config.Topic
			}
			return a.send(cmd.Context(), p)
		},
	}, "transport", "topic")
	p.flags(cmd.Flags())
	return cmd
}

func (p *publication) flags(f *pflag.FlagSet) {
	f.Lookup("transport").Usage = "publish straight to this bus, past the nodes"
	f.Lookup("transport").DefValue = ""
	f.StringVar(&p.node, "url", "", "the node (or FANFARE_URL; default "+localNode+")")
	f.StringVar(&p.key, "key", "", "API key (better as FANFARE_KEY)")
	f.StringVar(&p.system, "system", "", "the system to publish to")
	f.StringArrayVar(&p.to, "to", nil,
		"whom it is for: user:NAME, room:NAME, session:ID or *; may be repeated")
	f.StringVar(&p.kind, "type", "", "what happened, such as order.paid")
	f.StringVar(&p.data, "data", "", "the data, as JSON")
	f.StringVar(&p.text, "text", "", "the data, as text, instead of --data")
	f.StringVar(&p.contentType, "content-type", "",
		"what the data is; default application/json, and text/plain for --text")
	f.StringVar(&p.id, "id", "", "tells the message from its repetition; made if not given")
	f.BoolVar(&p.json, "json", false, "print ids and cursor as a JSON object; with --wait the node's answer")
	f.BoolVar(&p.receipt, "receipt", false, "ask for receipts: see fanfare receipts")
	f.StringVar(&p.wait, "wait", "",
		"wait until each user has it, and print what became of it: acked:2s or written:2s")
	f.DurationVar(&p.ttl, "ttl", 0, "how long it is worth delivering; 0: always")
}

// send publishes what p says and prints the ids.
func (a *app) send(ctx context.Context, p publication) error {
	if _, err := domain.ParseSystem(p.system); err != nil {
		return fmt.Errorf("--system: %w", err)
	}
	if p.wait != "" {
		return a.sendAndWait(ctx, p)
	}
	input := a.in
	if !p.fromInput {
		line, err := p.message()
		if err != nil {
			return err
		}
		input = bytes.NewReader(line)
	}
	var post poster = client.Publisher{Node: p.node, Key: p.key}.Publish
	if p.transport != "" {
		out, err := fanfare.NewPublisher(ctx, p.transport, p.template)
		if err != nil {
			return err
		}
		defer out.Close()
		if strings.HasPrefix(p.transport, "memory:") {
			fmt.Fprintln(a.err, "fanfare: nobody hears what is published to memory://, "+
				"which is this command's own")
		}
		post = direct(out)
	}
	return failed(a.pump(ctx, p, input, post))
}

// message encodes the message that the flags describe. It refuses text that JSON
// cannot hold, such as broken UTF-8, instead of replacing it.
func (p publication) message() ([]byte, error) {
	switch {
	case len(p.to) == 0:
		return nil, errors.New("want --to TARGET, such as --to user:alice, " +
			"or - to read messages from standard input")
	case p.hasData == p.hasText:
		return nil, errors.New("want either --data or --text")
	case p.ttl%time.Second != 0 || p.ttl < 0 || p.ttl > domain.MaxTTL:
		return nil, fmt.Errorf("--ttl: %v: want whole seconds, from 0s to %v", p.ttl, domain.MaxTTL)
	}
	m := &domain.Message{ID: p.id, Type: p.kind, TTL: p.ttl, Receipt: p.receipt || p.wait != ""}
	for i, name := range p.to {
		to, err := domain.ParseTarget(name)
		if err != nil {
			return nil, domain.At(fmt.Sprintf("to[%d]", i), err)
		}
		m.To = append(m.To, to)
	}
	if err := p.setData(m); err != nil {
		return nil, err
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return envelope.Append(nil, m), nil
}

func (p publication) setData(m *domain.Message) error {
	contentType := p.contentType
	if p.hasText {
		if contentType == "" {
			contentType = domain.Text
		}
		if err := m.SetData(contentType, []byte(p.text)); err != nil {
			return fmt.Errorf("--text %w", err)
		}
		return nil
	}
	if contentType == "" {
		contentType = domain.JSON
	}
	if !domain.IsJSON(contentType) {
		return fmt.Errorf("--content-type %q is no JSON type: use --text", contentType)
	}
	if err := m.SetData(contentType, []byte(p.data)); err != nil {
		return fmt.Errorf(`--data %w: quote strings, as in --data '"hello"', or use --text`, err)
	}
	return nil
}

// A poster publishes messages of a system, each a JSON object on a line of its
// own, and returns their ids and the cursor after them.
type poster func(ctx context.Context, system string, lines []byte) (client.Published, error)

// Bounds of what goes into one request.
const (
	batchLines = 500
	batchBytes = 1 << 20
	maxLine    = 4 << 20
)

// A batch is the lines of one request.
type batch struct {
	text  []byte
	first int // number of its first line in the input, from 1
	lines int // how many lines of the input it stands for, empty ones included
}

// pump publishes the lines of the input in batches, until one fails.
func (a *app) pump(ctx context.Context, p publication, input io.Reader, post poster) error {
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, maxLine)
	b := batch{first: 1}
	for lines.Scan() {
		b.lines++
		if line := bytes.Trim(lines.Bytes(), " \t\r"); len(line) > 0 { // JSON's white space
			b.text = append(append(b.text, line...), '\n')
		}
		if b.lines == batchLines || len(b.text) >= batchBytes {
			if err := a.post(ctx, p, &b, post); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("standard input, after line %d: %w", b.first+b.lines-1, err)
	}
	return a.post(ctx, p, &b, post)
}

// post publishes a batch, prints what the bus has, and makes b the empty batch behind it.
func (a *app) post(ctx context.Context, p publication, b *batch, post poster) error {
	if len(b.text) == 0 {
		return nil
	}
	done, err := post(ctx, p.system, b.text)
	if err != nil {
		return p.explain(err, *b)
	}
	if err := a.printPublished(p, done); err != nil {
		return err
	}
	*b = batch{text: b.text[:0], first: b.first + b.lines}
	return nil
}

// printPublished prints the ids, or with --json all that is known.
func (a *app) printPublished(p publication, done client.Published) error {
	if p.json {
		return json.NewEncoder(a.out).Encode(done)
	}
	for _, id := range done.IDs {
		if _, err := fmt.Fprintln(a.out, id); err != nil {
			return err
		}
	}
	return nil
}

// explain adds to an error what is needed to publish a batch again.
func (p publication) explain(err error, b batch) error {
	var r *client.Refusal
	outcomeUnknown := errors.As(err, &r) && len(r.IDs) > 0
	last := b.first + b.lines - 1
	switch {
	case !p.fromInput && outcomeUnknown:
		return fmt.Errorf("%w (id %s)", err, r.IDs[0])
	case !p.fromInput:
		return err
	case outcomeUnknown:
		return fmt.Errorf("lines %d to %d: %w (%d of them accepted)",
			b.first, last, err, r.Accepted)
	default:
		return fmt.Errorf("lines %d to %d: %w", b.first, last, err)
	}
}

// direct publishes to the bus itself, past the nodes.
func direct(out *fanfare.Publisher) poster {
	return func(ctx context.Context, system string, lines []byte) (client.Published, error) {
		var all []fanfare.Message
		for line := range bytes.Lines(lines) {
			m, err := envelope.Parse(line, envelope.Options{Strict: true})
			if err != nil {
				return client.Published{}, domain.At(fmt.Sprintf("[%d]", len(all)), err)
			}
			all = append(all, outgoing(m))
		}
		done, err := out.Publish(ctx, system, all...)
		if err != nil {
			return client.Published{}, err
		}
		return client.Published{IDs: done.IDs, Cursor: done.Cursor}, nil
	}
}

// outgoing makes of a message that was read one to publish.
func outgoing(m *domain.Message) fanfare.Message {
	out := fanfare.Message{
		Type: m.Type, Data: m.Data, ContentType: m.ContentType,
		ID: m.ID, Time: m.Time, TTL: m.TTL, Headers: m.Headers,
	}
	for _, t := range m.To {
		out.To = append(out.To, t.String())
	}
	return out
}
