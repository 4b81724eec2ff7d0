package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// hostile makes invalid input of many kinds from a seed. None of it can be taken for
// a message or an op.
type hostile struct{ *rand.Rand }

func (h hostile) bytes(most int) string {
	b := make([]byte, 1+h.IntN(most))
	for i := range b {
		b[i] = byte(h.Uint32())
	}
	b[0] |= 0x80 // no JSON begins so
	return string(b)
}

func (h hostile) pick(all ...string) string { return all[h.IntN(len(all))] }

// huge is ten kilobytes and more, and a few times nearly a mebibyte: more at once, and
// Redis would end a subscription that does not keep up (its
// client-output-buffer-limit), which is no poison.
func (h hostile) huge() string {
	part, n := h.pick("x", "é", "[", "\\\"", "0"), 10_000+h.IntN(20_000)
	if h.IntN(60) == 0 {
		n = 1_000_000
	}
	return strings.Repeat(part, n/len(part))
}

// envelope is a body that is no envelope.
func (h hostile) envelope() string {
	const good = `{"to":"user:u1","type":"t","data":{"p":"bad","n":1}}`
	switch h.IntN(6) {
	case 0:
		return h.bytes(300)
	case 1:
		return good[:h.IntN(len(good))]
	case 2:
		return h.pick(``, ` `, `42`, `"user:u1"`, `null`, `true`, `[]`, `[`+good+`]`, `{}`, `{"data":1}`, good+good, good+`,`,
			"\ufeff"+good, `{'to':'user:u1'}`, `{to:"user:u1"}`, `{"to":"user:u1",}`, `{"to":"user:u1","data":NaN}`, `{"to":"user:u1" "data":1}`,
			"{\"to\":\"user:u1\",\"data\":\"\xff\"}", "{\"to\":\"user:u1\",\"data\":\"\n\"}", `{"to":"user:u1","data":01}`)
	case 3:
		return `{"data":{"p":"bad","n":2},"to":` + h.pick(`null`, `42`, `{}`, `[]`, `""`, `"u1"`, `"user:"`, `"planet:x"`, `"user:a\u0000"`, `[1]`,
			`[["user:u1"]]`, `["user:u1",null]`, `["user:u1","nobody"]`, `" user:u1"`, `"USER:u1"`, `"**"`, `"user:`+strings.Repeat("u", 257)+`"`,
			`["user:u1"`+strings.Repeat(`,"user:u1"`, 1000)+`]`) + `}`
	case 4:
		return `{"to":"user:u1","data":{"p":"bad","n":3},` + h.pick(`"ttl":-1`, `"ttl":"60"`, `"ttl":1.5`, `"ttl":1e99`, `"ttl":99999999999`, `"headers":[]`,
			`"headers":{"a":1}`, `"headers":{"a":{}}`, `"time":"yesterday"`, `"time":5`, `"type":7`, `"type":"a\u0007"`, `"id":{}`, `"id":"\u001b[2J"`,
			`"content_type":"image/png"`, `"content_type":3`, `"data_base64":"AAAA"`, `"data_base64":7`, `"from":1`,
			`"id":"`+strings.Repeat("i", 257)+`"`) + `}`
	default:
		before, after, _ := strings.Cut(h.pick(`{"to":"user:u1","id":"…"}`, `{"to":"user:u1","type":"…"}`, `{"to":"user:…"}`, `{"to":["user:u1","room:…"]}`,
			`{"to":"user:u1","headers":{"a":"…"}}`, `{"to":"user:u1","ttl":"…"}`, `{"to":"user:u1","data":"…`, `{"to":"user:u1","data":…`), "…")
		return before + h.huge() + after
	}
}

// fields are a stream's entry that is no message, names and values by turns.
func (h hostile) fields() []any {
	switch h.IntN(5) {
	case 0:
		return []any{h.pick("data", "payload", "message"), h.envelope()}
	case 1:
		return []any{"to", h.pick("", "u1", "user:", "[", "[]", `["user:u1",5]`, `["nobody"]`, h.bytes(50), strings.Repeat("user:u1,", 5000)), "data", `{"p":"bad","n":4}`}
	case 2:
		name, value := "ttl", h.pick("-1", "soon", "1.5", " ")
		if h.IntN(2) == 0 {
			name, value = "time", h.pick("now", "1", h.bytes(20))
		}
		return []any{"to", "user:u1", "data", `{"p":"bad","n":5}`, name, value}
	case 3:
		return []any{"_watermill_message_uuid", h.bytes(40), "metadata", h.pick("\xc1", "\xa3abc", "\x93", "{}"), "payload", `{"to":"user:u1","data":{"p":"bad","n":6}}`}
	default:
		var all []any
		for i := range 1 + h.IntN(100) {
			all = append(all, fmt.Sprintf("f%d%s", i, h.bytes(10)), h.bytes(100))
		}
		return all
	}
}

// op is what a client must not say: one wrong op, in one frame of at most
// 60,000 bytes.
func (h hostile) op() string {
	const good = `{"op":"join","ref":1,"system":"orders","room":"hall"}`
	switch h.IntN(6) {
	case 0:
		return h.bytes(300)
	case 1:
		return good[:h.IntN(len(good))]
	case 2:
		return h.pick(``, ` `, `42`, `"join"`, `null`, `[]`, `[`+good+`]`, `{}`, `{"op":null}`, `{"op":7}`, `{"op":"fly"}`, `{"op":"JOIN"}`, `{'op':'join'}`,
			`{"op":"hello"}`, strings.Repeat("[", 50_000), strings.Repeat(`{"op":`, 8_000))
	case 3:
		return `{"op":"join","ref":` + h.pick(`1`, `"r"`, `-1.5`) + `,` + h.pick(`"system":"orders"`, `"room":"hall"`, `"system":"orders","room":""`,
			`"system":"orders","room":7`, `"system":"ORDERS","room":"hall"`, `"system":"nope","room":"hall"`, `"system":"orders","room":"a\u0000"`,
			`"system":"orders","room":"`+strings.Repeat("r", 257)+`"`, `"system":["orders"],"room":"hall"`) + `}`
	case 4:
		return `{"op":"send","system":"orders",` + h.pick(`"to":"user:u1","data":1`, `"to":"*","data":1`, `"to":[],"data":1`, `"to":["room:hall","user:u1"],"data":1`,
			`"to":"room:hall"`, `"to":7,"data":1`, `"to":"room:hall","data":1,"data_base64":"AAAA"`, `"to":"room:hall","data_base64":"?"`, `"to":"room:hall","data":1,"ttl":-1`,
			`"to":"room:hall","data":1,"ttl":"x"`, `"to":"room:hall","data":1,"headers":7`, `"to":"room:hall","data":1,"content_type":"image/png"`,
			`"to":"room:hall","data":1,"id":"`+strings.Repeat("i", 50_000)+`"`) + `}`
	default:
		return h.pick(`{"op":"auth"}`, `{"op":"auth","token":7}`, `{"op":"auth","token":"`+strings.Repeat("t", 40_000)+`"}`, `{"op":"auth","token":"a.b.c"}`,
			`{"op":"join","ref":"`+strings.Repeat("r", 100)+`","system":"orders","room":"hall"}`, `{"op":"join","ref":{},"system":"orders","room":"hall"}`)
	}
}
