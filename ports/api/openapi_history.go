package api

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// describeHistory adds the routes that read what messages were to the document.
func (a *API) describeHistory(doc *huma.OpenAPI) {
	system := parameterOf("system")
	system.In, system.Required, system.Example = "path", true, "orders"
	system.Description = "The business system."
	either := []map[string][]string{{"key": {}}, {"token": {}}}
	doc.AddOperation(&huma.Operation{
		OperationID: "cursor", Method: http.MethodGet, Path: cursorPath, Tags: []string{tagHistory},
		Summary: "Where is the system now?",
		Description: "A page asks for the cursor, then reads its state, and then connects with resume=system:cursor: " +
			"no message between the state and the session is lost. " + whoReads,
		Security: either, Parameters: []*huma.Param{system},
		Responses: readAnswers(&huma.Schema{
			Type: "object", Required: []string{"system", "cursor", "time"},
			Properties: map[string]*huma.Schema{
				"system": {Type: "string", Description: "The system."},
				"cursor": {Type: "string", Description: "All that is published after the request follows it."},
				"time":   {Type: "string", Format: "date-time", Description: "When the request came."},
			},
		}, systemCursor{"orders", "CURSOR", exampleTime}),
	})
	doc.AddOperation(&huma.Operation{
		OperationID: "messages", Method: http.MethodGet, Path: publishPath, Tags: []string{tagHistory},
		Summary: "Read what was published",
		Description: "The newest messages, or those before or after a cursor, oldest first, as clients are " +
			"sent them. What a client would not be sent is left out: repetitions, and messages that are past " +
			"their ttl. " + whoReads,
		Security: either, Parameters: append([]*huma.Param{system}, pageParameters()...),
		Responses: readAnswers(pageSchema(), map[string]any{
			"system": "orders", "complete": true, "next": "CURSOR",
			"messages": []any{map[string]any{
				"op": "message", "system": "orders", "id": exampleID, "cursor": "CURSOR",
				"to": "user:alice", "type": "order.paid", "data": map[string]any{"n": 1},
			}},
		}, 429),
	})
}

// whoReads says who may read.
const whoReads = "An API key with the scope read/SYSTEM reads everything. A client shows what it would open a " +
	"session with, and reads what that session could be given: its user's messages, those for everyone, and " +
	"those of rooms that it may join or is a member of."

// pageParameters describes what the query may say.
func pageParameters() []*huma.Param {
	param := func(name string, example any, text string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Example: example, Description: text,
			Schema: &huma.Schema{Type: "string"}}
	}
	all := []*huma.Param{
		param("to", "user:alice", fmt.Sprintf("A target; may be repeated, up to %d times. Without it: everything "+
			"for an API key, the own user and * for a client.", pageTargets)),
		param("before", "CURSOR", "The messages before this cursor: next of the page before."),
		param("after", "CURSOR", "The messages after this cursor, in their order. It does not go with before."),
		param("limit", defaultLimit, "The most messages in the answer, which has about 1 MiB at most."),
	}
	all[3].Schema = &huma.Schema{
		Type: "integer", Minimum: new(1.0), Maximum: new(float64(maxLimit)), Default: defaultLimit,
	}
	return all
}

// pageSchema describes a page.
func pageSchema() *huma.Schema {
	return &huma.Schema{
		Type: "object", Required: []string{"system", "messages", "complete"},
		Properties: map[string]*huma.Schema{
			"system": {Type: "string", Description: "The system."},
			"messages": {Type: "array", Items: &huma.Schema{Type: "object"},
				Description: "Ops message, oldest first, each with its cursor."},
			"next": {Type: "string", Description: "Ask with it as before, or with after in the question as after, " +
				"for what comes next. Nothing is left without it."},
			"complete": {Type: "boolean", Description: "If not, some of what was asked for is missing, or may be."},
			"reason": {Type: "string", Description: "Why: trimmed, lossy, unknown_cursor, or too_far, with which " +
				"next goes on."},
		},
	}
}

// readAnswers describes the answers to a request that reads a history.
func readAnswers(schema *huma.Schema, example any, problems ...int) map[string]*huma.Response {
	all := map[string]*huma.Response{"200": {
		Description: "The answer.",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: schema, Example: example}},
	}}
	for _, status := range append(problems, 401, 403, 404, 422, 501, 503) {
		all[strconv.Itoa(status)] = problemResponse(status, map[int]string{
			401: "Neither an API key nor a token that counts.",
			403: "The API key lacks the scope read/SYSTEM, the token does not grant what was asked for, or the user " +
				"is blocked.",
			404: "The system is not served here.",
			422: "A parameter is not valid, or not known.",
			429: "Too much is read for this caller: too many pages at a time, or too much of logs.",
			501: "The node reads no histories.",
			503: "The node cannot say now: the bus has not confirmed or does not answer, the node has not come to " +
				"the cursor yet, or too many read at a time.",
		}[status])
	}
	return all
}
