package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/domain"
)

// An op is a message of the protocol (docs/protocol.md) from a node, with the
// fields that clients without package client need.
type op struct {
	Op          string
	System      string
	ID          string
	Cursor      string
	To          string
	From        string
	Type        string
	Time        time.Time
	Headers     map[string]string
	ContentType string `json:"content_type"`
	Data        json.RawMessage
	DataBase64  []byte `json:"data_base64"`
	Reason      string
	AfterMS     int64 `json:"after_ms"`
	Up          bool
	Node        string
	Session     string
	User        string
	Systems     map[string]client.Place
}

// dispatch decodes an op and calls the handler's function for it.
func dispatch(ctx context.Context, text []byte, h client.Handler) error {
	var o op
	if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("the node said what is no op: %q: %w", text, err)
	}
	switch o.Op {
	case "hello":
		return h.Hello(ctx, &client.Hello{Session: o.Session, Node: o.Node, User: o.User, Systems: o.Systems})
	case "message":
		return h.Message(ctx, o.message())
	case "gap":
		return h.Gap(ctx, &client.Gap{
			System: o.System, Reason: o.Reason, Cursor: o.Cursor,
			After: time.Duration(o.AfterMS) * time.Millisecond,
		})
	case "bus":
		return h.Bus(ctx, o.Up)
	}
	return nil
}

func (o *op) message() *client.Message {
	m := &client.Message{
		System: o.System, ID: o.ID, Cursor: o.Cursor, To: o.To, From: o.From, Type: o.Type, Time: o.Time,
		Headers: o.Headers, Data: o.Data, ContentType: o.ContentType,
	}
	var text string
	switch {
	case o.DataBase64 != nil:
		m.Data = o.DataBase64
	case o.ContentType == "":
		m.ContentType = "application/json"
	case domain.IsText(o.ContentType) && json.Unmarshal(o.Data, &text) == nil:
		m.Data = []byte(text)
	}
	return m
}
