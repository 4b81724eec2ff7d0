package api

import (
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// watchExample is a part of what watchSystem answers.
const watchExample = `data: {"op":"watching","node":"n1","system":"orders"}

data: {"op":"message","what":"taken","id":"m1","to":["user:alice"],"bytes":17,"cursor":"…","logged":"…"}

data: {"op":"gap","reason":"lossy","cursor":"…"}

data: {"op":"skipped","n":17}
`

// describeWatch adds the stream of what a node reads to the document.
func (a *API) describeWatch(doc *huma.OpenAPI) {
	r := &watching
	operation := &huma.Operation{
		OperationID: r.about.id, Method: r.method, Path: r.path, Tags: []string{r.about.tag},
		Summary: r.about.summary, Description: r.about.text + " Scope: " + r.scope + ".",
		Security:   []map[string][]string{{"key": {}}},
		Parameters: r.parameters(),
		Responses: map[string]*huma.Response{"200": {
			Description: "The events. The stream ends when the client goes, with goaway when the node drains, and " +
				"when the API key is not good any more.",
			Content: map[string]*huma.MediaType{
				"text/event-stream": {Schema: &huma.Schema{Type: "string"}, Example: watchExample},
			},
		}},
	}
	for status, what := range map[int]string{
		401: "No API key, or one that is unknown or has expired.",
		403: "The API key lacks the scope " + r.scope + ".",
		404: "The system is not served here.",
		422: "Something in the path or the query is not valid; errors names each place.",
		429: "Too many watch this node already.",
		503: "The system cannot be read now.",
	} {
		operation.Responses[strconv.Itoa(status)] = problemResponse(status, what)
	}
	doc.AddOperation(operation)
}
