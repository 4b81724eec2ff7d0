package api

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// An about is what the documentation says of a route of the control plane.
type about struct {
	id, tag       string
	summary, text string
	fields        []string // of the body, in the order of the documentation; see fieldSchemas
	required      []string // of fields
	example       any      // of the body
	answer        any      // an example of the answer; nil for commands
}

// Groups of routes in the documentation.
const (
	tagPublishing = "Publishing"
	tagReceiving  = "Receiving"
	tagHistory    = "What was published"
	tagWho        = "Who must go"
	tagMembers    = "Members of rooms"
	tagPresence   = "Who is there"
	tagNodes      = "Nodes"
	tagHealth     = "Health"
)

// What examples show.
const exampleID = "01KB9Z6J3W8Q2N4T5V7X9Y0ABC"

var (
	exampleTime    = time.Date(2026, 11, 30, 13, 25, 0, 0, time.UTC)
	examplePresent = control.Present{User: "alice", Sessions: 3, Since: exampleTime.UnixMilli()}
)

// describeControl adds the routes of the control plane to the document.
func (a *API) describeControl(doc *huma.OpenAPI) {
	for i := range routes {
		r := &routes[i]
		text := strings.TrimSpace(r.about.text + " Scope: " + r.fullScope("SYSTEM") + ".")
		doc.AddOperation(&huma.Operation{
			OperationID: r.about.id, Method: r.method, Path: r.path, Tags: []string{r.about.tag},
			Summary: r.about.summary, Description: text,
			Security:    []map[string][]string{{"key": {}}},
			Parameters:  r.parameters(),
			RequestBody: r.body(),
			Responses:   r.responses(doc.Components.Schemas),
		})
	}
}

// parameters describes what the path names and what the query may say.
func (r *route) parameters() (all []*huma.Param) {
	for segment := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			p := parameterOf(strings.TrimSuffix(name, "}"))
			p.In, p.Required = "path", true
			p.Description += " In a path, / is written %2F."
			if p.Name == "system" {
				p.Description = "The business system."
			}
			all = append(all, p)
		}
	}
	for _, name := range r.query {
		p := parameterOf(name)
		p.In = "query"
		all = append(all, p)
	}
	return all
}

// parameterOf describes a parameter.
func parameterOf(name string) *huma.Param {
	p := &huma.Param{Name: name, Schema: nameSchema("")}
	switch name {
	case "system":
		p.Example = "chat"
		p.Schema = &huma.Schema{Type: "string", Pattern: "^[a-z0-9][a-z0-9_-]{0,63}$"}
	case "user":
		p.Example, p.Description = "alice", "The user."
	case "room":
		p.Example, p.Description = "lobby", "The room."
	case "id":
		p.Example, p.Description = exampleID, "The session, as hello names it."
	case "node":
		p.Example, p.Description = "n1", "The node, by its name."
	case "to":
		p.Example, p.Description = "user:alice", "Only messages for this target; may be repeated, up to 20 times."
		p.Schema = &huma.Schema{Type: "string"}
	case "data":
		p.Example, p.Description = "true", "true: with the messages' data."
		p.Schema = &huma.Schema{Type: "boolean"}
	case "wait":
		p.Example = "2s"
		p.Schema = &huma.Schema{Type: "string"}
		p.Description = "How long to wait until all live nodes have applied it: 500ms, 2s, at most 30s. " +
			"Without it, or with 0s, the answer is 202 as soon as the bus has the command."
	case "after":
		p.Example, p.Description = "alice", "Begin after this name: next of the answer before."
	case "limit":
		p.Example = 100
		p.Schema = &huma.Schema{
			Type: "integer", Minimum: new(0.0), Maximum: new(float64(maxLimit)), Default: defaultLimit,
		}
		p.Description = "The most users in the answer. Of presence, 0 asks for the count alone."
	}
	return p
}

// nameSchema describes the name of a user, a room or a session.
func nameSchema(text string) *huma.Schema {
	return &huma.Schema{
		Type: "string", MinLength: new(1), MaxLength: new(domain.MaxName), Description: text,
	}
}

// fieldSchema describes a member of a body.
func fieldSchema(name string) *huma.Schema {
	switch name {
	case "reason":
		return &huma.Schema{Type: "string", MaxLength: new(control.MaxReason),
			Description: fmt.Sprintf("Told to the client; at most %d bytes.", control.MaxReason)}
	case "code":
		return &huma.Schema{Type: "integer", Default: disconnected,
			OneOf: []*huma.Schema{
				{Type: "integer", Enum: []any{disconnected}},
				{Type: "integer", Minimum: new(float64(firstCode)), Maximum: new(float64(lastCode))},
			},
			Description: fmt.Sprintf("The close code: %d, or one of your own from %d to %d.",
				disconnected, firstCode, lastCode)}
	case "reconnect":
		return &huma.Schema{Type: "boolean", Default: true,
			Description: "Whether clients come back by themselves."}
	case "ttl":
		return &huma.Schema{Type: "integer", Minimum: new(1.0), Maximum: new(control.MaxTTL.Seconds()),
			Default: int(control.MaxTTL.Seconds()), Description: "Seconds after which it ends."}
	case "rate":
		return &huma.Schema{Type: "integer", Minimum: new(1.0), Maximum: new(float64(control.MaxRate)),
			Default: defaultRate, Description: "How many sessions a second are asked to go."}
	case "sessions":
		return &huma.Schema{Type: "integer", Minimum: new(1.0), Maximum: new(float64(control.MaxSessions)),
			Description: "How many in all. Without it, as many as the node has more than the live nodes have " +
				"on average."}
	case "jti":
		return nameSchema("The token's jti.")
	case "issued_before":
		return &huma.Schema{OneOf: []*huma.Schema{{Type: "string", Format: "date-time"}, {Type: "number"}},
			Description: "RFC 3339, or seconds since 1970. Now, if not said. It goes with user."}
	case "user":
		return nameSchema("The user, all of whose tokens from before that time are meant.")
	case "room":
		return nameSchema("A room of the system; without it, whoever is attached to the system.")
	case "users":
		return &huma.Schema{Type: "array", Items: nameSchema(""), MaxItems: new(maxUsers), UniqueItems: true,
			Description: "Whom to look for."}
	default:
		return nameSchema("")
	}
}

// body describes the body, nil if the route takes none.
func (r *route) body() *huma.RequestBody {
	if r.about.fields == nil {
		return nil
	}
	s := &huma.Schema{
		Type: "object", AdditionalProperties: false, Required: r.about.required,
		Properties: map[string]*huma.Schema{},
	}
	for _, name := range r.about.fields {
		s.Properties[name] = fieldSchema(name)
	}
	return &huma.RequestBody{
		Required: len(r.about.required) > 0,
		Content:  map[string]*huma.MediaType{"application/json": {Schema: s, Example: r.about.example}},
	}
}

// responses describes the answers, by status.
func (r *route) responses(schemas huma.Registry) map[string]*huma.Response {
	all := map[string]*huma.Response{}
	add := func(status int, text string, example any) {
		all[strconv.Itoa(status)] = &huma.Response{Description: text, Content: map[string]*huma.MediaType{
			"application/json": {
				Schema: schemas.Schema(reflect.TypeOf(example), true, r.about.id), Example: example,
			},
		}}
	}
	command := r.about.answer == nil
	if command {
		add(http.StatusAccepted, "Without wait: it is applied here, and the bus has it.", accepted{exampleID})
		add(http.StatusOK, "With wait: which live nodes have applied it, and which had not when the wait was over.",
			control.Outcome{ID: exampleID, Applied: []string{"n1", "n2"}, Pending: []string{"n3"}})
	} else {
		add(http.StatusOK, "The answer.", r.about.answer)
	}
	for status, p := range r.problems(command) {
		all[strconv.Itoa(status)] = problemResponse(status, p[0])
		all[strconv.Itoa(status)].Content["application/problem+json"].Example = exampleProblem(status, p[1])
	}
	return all
}

// exampleProblem returns a problem with a detail. Of a 422 it names a fault.
func exampleProblem(status int, detail string) *Problem {
	p := problem(status, detail)
	switch {
	case status == http.StatusUnprocessableEntity:
		p.Detail, p.Errors = undone, []Fault{{"user", detail}}
	case strings.Contains(detail, "repeating is safe"):
		p.ID = exampleID
	}
	return p
}

// problems returns for each status of a problem what it means, and an example of a detail.
func (r *route) problems(command bool) map[int][2]string {
	scope := r.fullScope("SYSTEM")
	all := map[int][2]string{
		400: {"Malformed JSON.", undone},
		401: {"No API key, or one that is unknown or has expired.",
			"this needs an API key, as in \"Authorization: Bearer <key>\""},
		403: {"The API key lacks the scope " + scope + ".",
			"this API key may not do that: it needs the scope " + r.fullScope("chat")},
		408: {"The body did not come in time.", "the body did not come in time"},
		413: {fmt.Sprintf("The body has more than %d bytes.", r.bytes), tooLarge(r.bytes).Detail},
		415: {"Another content type than JSON.",
			"want Content-Type: application/json, in UTF-8 and not compressed"},
		422: {"Something in the path, the query or the body is not valid; errors names each place.",
			"a name must not hold control characters"},
		429: {"This API key has too many bytes of requests in flight.",
			"this API key has too many bytes in flight: publish less at a time"},
		501: {"The control plane is off (control.disabled).", controlOff().Detail},
		503: {"This node has too many bytes of requests in flight.",
			"this node has too many bytes of requests in flight: publish again later"},
	}
	if command {
		all[429] = [2]string{"Too many facts (control.facts), too many commands that wait, or too many bytes of " +
			"requests of this API key in flight.", "too many facts (control.facts), or too many commands " +
			"that wait: try again later"}
		all[500] = [2]string{"It failed for a reason that the node does not know.",
			"it failed; this node's log says why"}
		all[503] = [2]string{"The bus did not take it in time, or the node is shutting down. Repeating is safe.",
			"this node has applied it, but the bus did not take it in time: it goes on trying; repeating is safe"}
	}
	if strings.Contains(r.path, "{system}") {
		all[404] = [2]string{"The system is not served here.", "system chat is not served here"}
	}
	if strings.Contains(r.path, "{node}") {
		all[404] = [2]string{"There is no live node of this name.", "there is no live node n1"}
	}
	if r.scope == "presence" {
		all[404] = [2]string{"The system is not served here, or no presence is kept for it (presence.systems).",
			"presence is not kept for system chat: it is not in presence.systems"}
	}
	return all
}

// rank orders the groups of the documentation.
func rank(op *huma.Operation) int {
	return slices.Index([]string{
		tagPublishing, tagReceiving, tagHistory, tagWho, tagMembers, tagPresence, tagNodes, tagHealth,
	}, op.Tags[0])
}
