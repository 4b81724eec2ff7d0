package api

import (
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// describeLive adds GET /v1/live to the document.
func describeLive(doc *huma.OpenAPI) {
	event := huma.SchemaFromType(doc.Components.Schemas, reflect.TypeFor[liveEvent]())
	node := liveNode{
		nodeInfo: exampleNode,
		Counts: &Counts{
			AtMS: 60_000, BusUp: true, Sessions: 1200, Users: 800, Opened: 1500, Closed: 300,
			Systems: []SystemCounts{{
				System: "orders", Sessions: 1200, Messages: 4100, Matched: 3900, Delivered: 8200, Window: 1 << 20,
			}},
		},
	}
	responses := map[string]*huma.Response{"200": {
		Description: "The stream: each event is named live, and its data is this JSON.",
		Content: map[string]*huma.MediaType{"text/event-stream": {
			Schema:  event,
			Example: liveEvent{Node: "n1", At: exampleTime, Nodes: []liveNode{node}, Silent: []string{}},
		}},
	}}
	for status, what := range map[int]string{
		401: "No API key, or one that is unknown or has expired.",
		403: "The API key lacks the scope " + liveScope + ".",
		422: "The route takes no parameters.",
		503: "Too many watch this node.",
	} {
		responses[strconv.Itoa(status)] = problemResponse(status, what)
	}
	doc.AddOperation(&huma.Operation{
		OperationID: "watchNodes", Method: http.MethodGet, Path: livePath, Tags: []string{tagNodes},
		Summary: "Watch the nodes",
		Description: "A stream of server-sent events: one a second with the live nodes and what each has counted, " +
			"until the caller has gone, its key is not good any more, or the node ends. The node that answers " +
			"asks the others every 2 seconds, and only while somebody watches. Scope: " + liveScope + ".",
		Security:  []map[string][]string{{"key": {}}},
		Responses: responses,
	})
}
