package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/fanfarebus/fanfare/domain"
)

// describe makes the OpenAPI document, the page that shows it, and the health routes,
// which huma serves.
func (a *API) describe() error {
	cfg := huma.DefaultConfig("Fanfare", a.cfg.Version)
	cfg.Info.Description = "Publish a message once; " +
		"every session of the users it is for receives it. " +
		"See who is there, and say who must go."
	// The document and the page are made here: huma's page loads scripts from elsewhere,
	// and huma makes its document only when it is first asked for.
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath, cfg.CreateHooks = "", "", "", nil
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"key": {
		Type: "http", Scheme: "bearer", Description: "An API key with the scope that the operation needs: " +
			"publish/SYSTEM, read/SYSTEM, presence/SYSTEM, members/SYSTEM or admin; * has them all.",
	}, "token": {
		Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "A session token. It may also come " +
			"as the cookie fanfare_token, from a page that is allowed; on /ws as a subprotocol " +
			"fanfare.token.TOKEN beside the real one; and as ?token= where auth.query_token is on.",
	}}
	mux := http.NewServeMux()
	api := humago.New(mux, cfg)
	a.describePublishing(api.OpenAPI())
	a.describeHistory(api.OpenAPI())
	a.describeReceiving(api.OpenAPI())
	a.describeControl(api.OpenAPI())
	a.describeWatch(api.OpenAPI())
	a.registerHealth(api)
	addMeanings(api.OpenAPI().Components.Schemas)
	a.health = mux

	var err error
	if a.openapi, err = json.Marshal(api.OpenAPI()); err != nil {
		return fmt.Errorf("api: OpenAPI document: %w", err)
	}
	if a.docs, err = newPage(api.OpenAPI()); err != nil {
		return fmt.Errorf("api: documentation page: %w", err)
	}
	return nil
}

// describePublishing adds the publish route to the document.
func (a *API) describePublishing(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas
	schemas.Map()["Message"] = a.messageSchema()
	schemas.Map()["Problem"] = problemSchema(schemas)
	doc.AddOperation(&huma.Operation{
		OperationID: "publish", Method: http.MethodPost,
		Path: publishPath, Tags: []string{tagPublishing},
		Summary: "Publish messages",
		Description: "One message, or a batch: a JSON array, or NDJSON. " +
			"All of a batch is checked before anything of it is published. " +
			"There are no hidden retries; " +
			"publishing again with the same id and content delivers once.",
		Security: []map[string][]string{{"key": {}}},
		Parameters: []*huma.Param{{
			Name: "system", In: "path", Required: true,
			Description: "The business system.", Example: "orders",
			Schema: &huma.Schema{Type: "string", Pattern: "^[a-z0-9][a-z0-9_-]{0,63}$"},
		}},
		RequestBody: a.publishBody(),
		Responses:   a.publishResponses(),
	})
}

// publishBody describes the body of a publish request.
func (a *API) publishBody() *huma.RequestBody {
	message := &huma.Schema{Ref: "#/components/schemas/Message"}
	most := a.cfg.Batch
	array := &huma.Schema{Type: "array", Items: message, MinItems: new(1), MaxItems: &most}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/json": {
			Schema: &huma.Schema{OneOf: []*huma.Schema{message, array}},
			Example: map[string]any{
				"to": "user:alice", "type": "order.paid", "data": map[string]any{"n": 1},
			},
		},
		"application/x-ndjson": {
			Schema: &huma.Schema{Type: "string", Description: "A message per line."},
		},
	}}
}

// publishResponses describes the answers to a publish request, by status.
func (a *API) publishResponses() map[string]*huma.Response {
	responses := map[string]*huma.Response{"202": {
		Description: "The bus has it: id for a single message, ids for a batch.",
		Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{
				published("id", &huma.Schema{Type: "string",
					Description: "The message's id: the publisher's, or one that the node has made."}),
				published("ids", &huma.Schema{
					Type: "array", Items: &huma.Schema{Type: "string"},
					Description: "Of a batch: the ids of all messages, in order."}),
			}}, Example: map[string]any{"id": exampleID, "cursor": exampleCursor}},
		},
	}}
	for status, what := range map[int]string{
		400: "Malformed JSON.",
		401: "No API key, or one that is unknown or has expired.",
		403: "The API key lacks the scope publish/SYSTEM.",
		404: "The system is not served here.",
		408: "The body did not come in time.",
		413: fmt.Sprintf("More than %d bytes, %d messages, or %d bytes of data in a message.",
			a.cfg.BodyBytes, a.cfg.Batch, a.cfg.MessageBytes),
		415: "Another content type than JSON or NDJSON.",
		422: "Something in a message is not valid; errors names each place. " +
			"Nothing was published.",
		429: "This API key has too many bytes of requests in flight, or publishes more than its rate.",
		503: "The bus did not take it in time. The first accepted messages are on it; " +
			"publish the others again, with the same ids.",
	} {
		responses[strconv.Itoa(status)] = problemResponse(status, what)
	}
	return responses
}

// problemResponse describes an answer that is a [Problem].
func problemResponse(status int, what string) *huma.Response {
	r := &huma.Response{Description: what, Content: map[string]*huma.MediaType{
		"application/problem+json": {
			Schema:  &huma.Schema{Ref: "#/components/schemas/Problem"},
			Example: problem(status, what),
		},
	}}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		r.Headers = map[string]*huma.Param{"Retry-After": {
			Description: "Seconds.", Schema: &huma.Schema{Type: "integer"},
		}}
	}
	return r
}

// problemSchema describes a [Problem].
func problemSchema(schemas huma.Registry) *huma.Schema {
	s := huma.SchemaFromType(schemas, reflect.TypeFor[Problem]())
	for name, text := range map[string]string{
		"title":  "What kind of problem: the status in words.",
		"detail": "What is wrong, and what to do.",
		"errors": "Each thing that is wrong, with its place.",
		"id": "The message's id, where it is unknown whether the bus has it: " +
			"publish again with this id. Or the id of a command that the bus did not take in time.",
		"accepted": "How many messages, from the first, are on the bus for sure.",
		"ids":      "The ids of all messages of the batch, in order.",
	} {
		s.Properties[name].Description = text
	}
	return s
}

// messageSchema describes a message, as package domain/envelope reads it.
func (a *API) messageSchema() *huma.Schema {
	text := func(most int, doc string) *huma.Schema {
		return &huma.Schema{Type: "string", MaxLength: &most, Description: doc}
	}
	return &huma.Schema{
		Type:                 "object",
		Required:             []string{"to"},
		AdditionalProperties: false,
		Properties: map[string]*huma.Schema{
			"to": targetsSchema(),
			"data": {Description: fmt.Sprintf(
				"Any JSON, at most %d bytes.", a.cfg.MessageBytes)},
			"data_base64": {Type: "string", ContentEncoding: "base64",
				Description: "Instead of data: any bytes."},
			"content_type": text(domain.MaxType,
				"Of the data; application/json if not said, "+
					"application/octet-stream with data_base64. Types that end in +json are JSON, "+
					"text/… types are text in UTF-8, all else is bytes."),
			"id": text(domain.MaxID, "Tells the message from a repetition of it. "+
				"Made by the node if not said."),
			"type": text(domain.MaxType, "What happened, such as order.paid."),
			"time": {Type: "string", Format: "date-time", Description: "When it happened."},
			"ttl": {Type: "integer", Minimum: new(0.0), Maximum: new(domain.MaxTTL.Seconds()),
				Description: "Seconds after which it is not worth delivering any more."},
			"headers": {Type: "object", AdditionalProperties: &huma.Schema{Type: "string"},
				Description: "The application's own."},
			"traceparent": {Type: "string", Pattern: "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
				Description: "Which trace it belongs to: W3C Trace Context, version 00."},
			"receipt": {Type: "boolean", Description: "Asks who has handled the message."},
		},
	}
}

// targetsSchema describes one target, or an array of them.
func targetsSchema() *huma.Schema {
	one := &huma.Schema{
		Type:        "string",
		Description: "user:NAME, session:ID, room:NAME, or * for everyone.",
		Examples:    []any{"user:alice"},
	}
	most := domain.MaxTargets
	return &huma.Schema{OneOf: []*huma.Schema{
		one, {Type: "array", Items: one, MinItems: new(1), MaxItems: &most},
	}}
}

// exampleCursor is a position in a Redis stream.
var exampleCursor = domain.Cursor{
	Log: 0x8c5f0e7a41d29b36, Time: exampleTime, ID: domain.HashID(exampleID),
	Position: "\x00\x00\x01\x9a\xd5\x0f\x3a\x60\x00\x00\x00\x00\x00\x00\x00\x00",
}.String()

// published describes the answer to a publish: the id or ids, and the cursor.
func published(name string, value *huma.Schema) *huma.Schema {
	s := object(name, value)
	s.Properties["cursor"] = &huma.Schema{Type: "string",
		Description: "Everything in the system up to the message, of a batch up to its last one, lies " +
			"before this cursor: a client that begins there receives all that comes after. It is missing " +
			"where the bus keeps no log, or did not say where it has the message."}
	return s
}

// object describes an object with one member, which is required.
func object(name string, value *huma.Schema) *huma.Schema {
	return &huma.Schema{
		Type: "object", Required: []string{name},
		Properties: map[string]*huma.Schema{name: value},
	}
}
