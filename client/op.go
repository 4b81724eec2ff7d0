package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// An op is a message of the protocol from the node to the client, decoded. Which fields
// are used depends on Name.
type op struct {
	Name        string              `json:"op"`
	Ref         json.RawMessage     `json:"ref"`
	System      string              `json:"system"`
	ID          string              `json:"id"`
	Cursor      string              `json:"cursor"` // null leaves it empty
	To          target              `json:"to"`
	From        string              `json:"from"`
	Type        string              `json:"type"`
	Time        string              `json:"time"`
	Headers     map[string]string   `json:"headers"`
	ContentType string              `json:"content_type"`
	Data        json.RawMessage     `json:"data"`
	DataBase64  []byte              `json:"data_base64"`
	Reason      string              `json:"reason"`
	AfterMS     integer             `json:"after_ms"`
	RetryMS     integer             `json:"retry_ms"`
	GraceMS     integer             `json:"grace_ms"`
	Room        string              `json:"room"`
	By          string              `json:"by"`
	Count       integer             `json:"count"`
	Users       []string            `json:"users"`
	Joined      []string            `json:"joined"`
	Left        []string            `json:"left"`
	Reconnect   bool                `json:"reconnect"`
	Up          bool                `json:"up"`
	Code        code                `json:"code"`
	Message     string              `json:"message"`
	Session     string              `json:"session"`
	Node        string              `json:"node"`
	User        string              `json:"user"`
	Systems     map[string]position `json:"systems"`
	Last        *coverage           `json:"last"`
	Receipt     bool                `json:"receipt"`
}

type position struct {
	Cursor  string    `json:"cursor"`
	Resumed bool      `json:"resumed"`
	Last    *coverage `json:"last"`
}

// coverage says whether all of the last messages come that were asked for.
type coverage struct {
	Complete bool   `json:"complete"`
	Reason   string `json:"reason"`
}

func (c *coverage) exported() *Coverage {
	if c == nil {
		return nil
	}
	return &Coverage{Complete: c.Complete, Reason: c.Reason}
}

// An integer is one by JSON Schema: 30.0 and 3e1 are integers, too.
type integer int64

// UnmarshalJSON reads any number and cuts off its fraction: an odd delay is no reason to
// refuse an op.
func (n *integer) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%.40s is no number", text)
	}
	*n = integer(min(max(f, -1<<53), 1<<53))
	return nil
}

// A code is the word of an error, or the number of a close code as text.
type code string

// UnmarshalJSON reads a string or a number.
func (c *code) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	if text[0] == '"' {
		return json.Unmarshal(text, (*string)(c))
	}
	var n integer
	err := n.UnmarshalJSON(text)
	*c = code(strconv.FormatInt(int64(n), 10))
	return err
}

// parse reads an op. If it does not know the name, it reads nothing else, so that newer
// nodes can send ops that this client does not understand.
func parse(raw []byte) (o op, err error) {
	var head struct {
		Name *string `json:"op"`
	}
	if err = json.Unmarshal(raw, &head); err == nil && head.Name == nil {
		err = fmt.Errorf("it has no name")
	}
	if err != nil {
		return op{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	switch *head.Name {
	case "hello", "message", "cursor", "gap", "bus", "goaway", "left", "ok", "error",
		"joined", "presence", "disconnect":
	default:
		return op{Name: *head.Name}, nil
	}
	if err = json.Unmarshal(raw, &o); err != nil {
		return op{}, fmt.Errorf("%w: %s: %w", ErrProtocol, *head.Name, err)
	}
	o.Name = *head.Name
	return o, nil
}

func (o *op) message() *Message {
	m := &Message{
		System: o.System, ID: o.ID, Cursor: o.Cursor, To: string(o.To), From: o.From, Type: o.Type,
		Headers: o.Headers, ContentType: o.ContentType, Data: o.Data,
		Receipt: o.Receipt,
	}
	if t, err := time.Parse(time.RFC3339, o.Time); err == nil {
		m.Time = t
	}
	var text string
	switch {
	case o.DataBase64 != nil:
		m.Data = o.DataBase64
	case isText(m.ContentType) && json.Unmarshal(o.Data, &text) == nil:
		m.Data = []byte(text)
	case m.Data == nil:
		m.Data = []byte("null")
	}
	if m.ContentType == "" {
		m.ContentType = "application/json"
	}
	return m
}

func (o *op) gap() *Gap {
	return &Gap{System: o.System, Reason: o.Reason, Cursor: o.Cursor, After: millis(o.AfterMS)}
}

func (o *op) hello() *Hello {
	h := &Hello{Session: o.Session, Node: o.Node, User: o.User}
	h.Systems = make(map[string]Place, len(o.Systems))
	for name, p := range o.Systems {
		h.Systems[name] = Place{Cursor: p.Cursor, Resumed: p.Resumed, Last: p.Last.exported()}
	}
	return h
}

func (o *op) presence() *Presence {
	return &Presence{
		System: o.System, Room: o.Room, Count: int(o.Count),
		Users: o.Users, Joined: o.Joined, Left: o.Left, Reason: o.Reason,
	}
}

// disconnect returns how the session ends. A code that is none becomes 4009.
func (o *op) disconnect() *CloseError {
	n, err := strconv.Atoi(string(o.Code))
	if err != nil || n < 1000 || n > mostOwn {
		n = CodeDisconnected
	}
	return &CloseError{Code: n, Reason: o.Reason, Reconnect: o.Reconnect, told: true}
}

// longest is the longest time for which a node can make a client wait.
const longest = time.Hour

// millis returns n milliseconds, from 0 to longest.
func millis(n integer) time.Duration {
	return time.Duration(min(max(int64(n), 0), longest.Milliseconds())) * time.Millisecond
}
