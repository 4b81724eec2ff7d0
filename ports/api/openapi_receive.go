package api

import (
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// An op is one kind of JSON object that a node and a client of fanfare.v1.json send each
// other. docs/protocol.md has all that there is to say, and a test compares the two.
type op struct {
	Name    string `json:"op"`
	From    string `json:"from"` // "node" or "client"
	Meaning string `json:"meaning"`
	Example string `json:"example"`
}

var ops = []op{
	{"hello", "node", "The first one: the session, and where it is in each system. resumed: it continues " +
		"at the cursor that the client gave. last: whether all the messages come that it asked for with last.",
		`{"op":"hello","session":"…","node":"n1","user":"alice",` +
			`"systems":{"orders":{"cursor":"…","resumed":true}}}`},
	{"message", "node", "A message. Keep its cursor: it is the place to resume at.",
		`{"op":"message","system":"orders","id":"…","cursor":"…","to":"user:alice",` +
			`"type":"order.paid","data":{"n":1}}`},
	{"cursor", "node", "The position has moved without a message: this cursor replaces the one before.",
		`{"op":"cursor","system":"orders","cursor":"…"}`},
	{"gap", "node", "Between the cursor before and this one messages may be missing: fetch the state anew, " +
		"after_ms from now. The reason is trimmed, lossy, overflow, too_far or unknown_cursor.",
		`{"op":"gap","system":"orders","reason":"trimmed","cursor":"…","after_ms":350}`},
	{"bus", "node", "The node cannot reach its bus, or can again. There is nothing to do.",
		`{"op":"bus","up":false}`},
	{"goaway", "node", "The node will close the connection after grace_ms: connect anew at once, resume there, and " +
		"let this one go then. Without grace_ms it closes it now: come back after retry_ms.",
		`{"op":"goaway","retry_ms":80,"grace_ms":5000}`},
	{"disconnect", "node", "An operator or a service has disconnected the client, which is not to come back " +
		"by itself if reconnect is false.",
		`{"op":"disconnect","code":4009,"reason":"logged out","reconnect":false}`},
	{"joined", "node", "A service has put the user into a room.",
		`{"op":"joined","system":"chat","room":"lobby","by":"server"}`},
	{"left", "node", "The session is not in the room any more, or, without room, not in the system: a service " +
		"has taken the user out (server), or a new token does not grant it (token).",
		`{"op":"left","system":"chat","room":"lobby","reason":"server"}`},
	{"presence", "node", "Who is in a watched place, or how that has changed.",
		`{"op":"presence","system":"chat","room":"lobby","count":2,"joined":["carol"],"left":["bob"]}`},
	{"ok", "node", "The op with this ref is done.", `{"op":"ok","ref":1}`},
	{"error", "node", "The op with this ref is not done. The code is invalid, forbidden, not_found, too_large, " +
		"rate_limited, bus_down, busy or unsupported.",
		`{"op":"error","ref":3,"code":"forbidden","message":"…"}`},
	{"join", "client", "Join a room. With since, what the room had after that cursor comes first; " +
		"with last, its newest 20, or those of the last \"5m\".",
		`{"op":"join","ref":1,"system":"chat","room":"lobby"}`},
	{"leave", "client", "Leave a room.", `{"op":"leave","ref":2,"system":"chat","room":"lobby"}`},
	{"send", "client", "Send a message: to a user or a room, or, without to, to the business system.",
		`{"op":"send","ref":3,"system":"chat","to":"room:lobby","type":"chat.said","data":{"text":"hi"}}`},
	{"auth", "client", "Show a new token of the same user, before the old one expires.",
		`{"op":"auth","ref":4,"token":"…"}`},
	{"presence", "client", "Watch who is in a room or, without room, attached to the system: users, count, " +
		"or false to end that.",
		`{"op":"presence","ref":5,"system":"chat","room":"lobby","watch":"users"}`},
}

// closeCodes are those with which a session ends, as docs/protocol.md has them.
var closeCodes = []struct{ Code, Meaning string }{
	{"1001", "The node drains, or has too many sessions: come back after the retry_ms of goaway."},
	{"1002", "Frames that are not valid WebSocket frames."},
	{"1007", "A text, or the reason of a close, that is not UTF-8."},
	{"1008", "Ten ops in a row that were malformed or refused, or too many frames."},
	{"1009", "A frame that is too large."},
	{"1013", "A plain client sent what there is no room for: come back later."},
	{"4001", "The token has expired, or was revoked: come back with a new one."},
	{"4003", "The user is blocked, or the token does not grant this: do not come back with it."},
	{"4008", "The client read too slowly: come back."},
	{"4009", "Disconnected by an operator or a service: do as the op disconnect says."},
	{"4010", "Too many sessions of this user, of which this was the oldest: do not come back by yourself."},
	{"4100–4999", "Disconnected, with a code that the application has chosen: as for 4009."},
}

// describeReceiving adds /ws and /sse to the document. They are served elsewhere.
func (a *API) describeReceiving(doc *huma.OpenAPI) {
	sockets := &huma.Operation{
		OperationID: "ws", Method: http.MethodGet, Path: "/ws", Tags: []string{tagReceiving},
		Summary: "Receive over WebSocket",
		Description: "A WebSocket handshake. With the subprotocol fanfare.v1.json each frame holds ops, " +
			"one JSON object a line; without it each frame is the data of one message and nothing else.",
		Security: []map[string][]string{{"token": {}}}, Parameters: receiving(false),
		Responses:  receivingAnswers("101", "The session begins. Its first op is hello."),
		Extensions: map[string]any{"x-ops": ops},
	}
	events := &huma.Operation{
		OperationID: "sse", Method: http.MethodGet, Path: "/sse", Tags: []string{tagReceiving},
		Summary: "Receive over Server-Sent Events",
		Description: "For a browser's EventSource: each event is one op of a node, as its data, and the id of " +
			"an event is where to resume, which EventSource does by itself. Nothing can be sent.",
		Security: []map[string][]string{{"token": {}}}, Parameters: receiving(true),
		Responses: receivingAnswers("200", "The stream begins. Its first event is hello. To EventSource, "+
			"429 and 503 are answered 200, too, with a stream that ends after a goaway."),
		Extensions: map[string]any{"x-ops": fromNode()},
	}
	events.Responses["204"] = &huma.Response{Description: "With check=1: the request would be let in. Otherwise " +
		"the client was told not to come back, and this stops EventSource."}
	doc.AddOperation(sockets)
	doc.AddOperation(events)
}

// fromNode returns the ops that nodes send.
func fromNode() (all []op) {
	for _, o := range ops {
		if o.From == "node" {
			all = append(all, o)
		}
	}
	return all
}

// receiving returns the parameters of /ws or /sse.
func receiving(events bool) []*huma.Param {
	param := func(name, example, text string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: text, Example: example,
			Schema: &huma.Schema{Type: "string"}}
	}
	all := []*huma.Param{
		param("systems", "orders,chat", "The systems, with commas between them."),
		param("rooms", "chat/lobby", "Rooms to be in, as system/room, with commas between them."),
		param("room", "chat/a,b", "One room, whose name may hold commas; may be repeated."),
		param("resume", "orders:CURSOR", "Where to continue in each system, as system:cursor, with commas between."),
		param("last", "orders:20", "Without resume of a system: how many messages, or those of which time (5m), to "+
			"have first, as system:20 or system:5m, with commas between."),
	}
	all[0].Required = true
	if !events {
		return all
	}
	return append(all,
		param("presence", "chat/lobby", "A place to watch, as system/room or system/; may be repeated."),
		param("cursors", "1", "1: cursor ops instead of events that have an id and no data."),
		param("pad", "1", "1: two kilobytes of comment after hello, for proxies that hold back little."),
		param("check", "1", "1: only say whether this request would be let in, by the status."),
		param("lastEventId", "orders:CURSOR", "The same as the header Last-Event-ID, which goes before it."),
		&huma.Param{Name: "Last-Event-ID", In: "header", Example: "orders:CURSOR",
			Description: "Where to continue: the id of the last event. It goes before resume.",
			Schema:      &huma.Schema{Type: "string"}})
}

// receivingAnswers describes the answers to a request for a session.
func receivingAnswers(status, text string) map[string]*huma.Response {
	all := map[string]*huma.Response{status: {Description: text}}
	for status, what := range map[int]string{
		401: "No token, or one that does not count; detail says why where that gives nothing away.",
		403: "The token does not grant what was asked for, the user is blocked, or the page is of an " +
			"origin that is not allowed.",
		404: "A system is not served here, or no presence is kept for it.",
		422: "A parameter is not valid, or not known.",
		429: "Too many sessions of the user at once, or too many wrong tokens from this address.",
		503: "The node is full, or drains: come back later, best to another one.",
	} {
		all[strconv.Itoa(status)] = problemResponse(status, what)
	}
	return all
}

// meanings are those of fields whose types do not say them, by the names of the schema
// and the field.
var meanings = map[string]string{
	"Accepted.id":        "The command's id, which the log of each node names.",
	"Block.blocked":      "Whether the user is blocked.",
	"Block.expires":      "When the block ends.",
	"Block.reason":       "What the client is told.",
	"IsMember.member":    "Whether the user is a member of the room.",
	"IsMember.expires":   "When the membership ends.",
	"Member.user":        "The user.",
	"Member.expires":     "When the membership ends.",
	"MemberList.members": "The members, by name.",
	"Message.to":         "Whom it is for: user:NAME, session:ID, room:NAME, or * for everyone.",
	"NodeInfo.draining":  "It sends its sessions away in order to end.",
	"NodeInfo.name":      "Its name, as in the setting node.",
	"NodeInfo.sessions":  "Sessions that are open there.",
	"NodeInfo.users":     "Users who have a session there.",
	"NodeInfo.version":   "The version of its software.",
	"NodeList.nodes":     "The live nodes.",
	"Outcome.id":         "The command's id, which the log of each node names.",
	"Outcome.applied":    "The live nodes that have applied it.",
	"Outcome.pending":    "The live nodes that had not when the wait was over; they will.",
	"Presence.as_of":     "When that was so.",
	"Presence.room":      "The room, if one was asked for.",
	"Presence.system":    "The system.",
	"Presence.users":     "Who is there, by name.",
	"Present.user":       "The user.",
}

// addMeanings gives fields the meaning that their types do not say.
func addMeanings(schemas huma.Registry) {
	for name, s := range schemas.Map() {
		for field, property := range s.Properties {
			if text := meanings[name+"."+field]; text != "" {
				property.Description = text
			}
		}
	}
}
