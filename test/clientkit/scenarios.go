package clientkit

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Scenarios returns all of them, in the order of docs/clients.md.
func Scenarios() []Scenario {
	return slices.Concat(
		connecting, messages, resuming, beginning, receipts, goingAway, refusals, endings, tokens, rooms,
		sending, presence, streams,
	)
}

// id is the id of the message with a number.
func id(n int) string { return fmt.Sprintf("m%d", n) }

// cursor is the cursor of the message with a number.
func cursor(n int) string { return fmt.Sprintf("orders-%d", n) }

// message is the one with a number, of the system orders.
func message(n int) Op {
	return Op{
		"op": "message", "system": "orders", "id": id(n), "cursor": cursor(n), "to": "user:alice",
		"type": "order.paid", "time": "2026-01-31T12:00:00Z", "data": Op{"n": n},
	}
}

// at is where a client resumes that has seen the message with a number.
func at(n int) map[string]string { return map[string]string{"orders": cursor(n)} }

// with returns an op with other fields.
func with(o Op, more Op) Op {
	for name, value := range more {
		o[name] = value
	}
	return o
}

// without returns an op that lacks a field.
func without(o Op, field string) Op {
	delete(o, field)
	return o
}

// token returns a JWT that ends after a time; nobody has signed it.
func token(name string, ends time.Duration) string {
	part := func(o Op) string {
		text, _ := json.Marshal(o) // it holds strings and numbers only
		return base64.RawURLEncoding.EncodeToString(text)
	}
	claims := Op{"sub": "alice", "jti": name, "exp": time.Now().Add(ends).Unix()}
	signature := base64.RawURLEncoding.EncodeToString([]byte(name))
	return part(Op{"alg": "HS256", "typ": "JWT"}) + "." + part(claims) + "." + signature
}
