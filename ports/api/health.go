package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// A Phase is where a node is in its life.
type Phase string

// Phases of a node. Only Ready nodes should get new clients.
const (
	Starting Phase = "starting" // filling its windows
	Ready    Phase = "ready"
	Draining Phase = "draining" // asking its sessions to go
	Deaf     Phase = "deaf"     // the bus answers, but its messages do not come
)

// Health is how a node is.
type Health struct {
	Phase   Phase
	BusUp   bool
	Node    string
	Systems []string // consumed now; not changed after it was returned
}

type alive struct {
	Body struct {
		Status string `json:"status" enum:"ok" doc:"The process answers."`
	}
}

type readyInput struct {
	Bus string `query:"bus" enum:"required" doc:"\"required\" also demands that the bus can be reached."`
}

type ready struct {
	Status int
	Cache  string `header:"Cache-Control"`
	Body   struct {
		Status  Phase    `json:"status" enum:"starting,ready,draining,deaf" doc:"deaf: the bus answers, but its messages do not come."`
		Bus     string   `json:"bus" enum:"up,down" doc:"Whether the bus can be reached."`
		Node    string   `json:"node" doc:"The node's name."`
		Systems []string `json:"systems" doc:"The systems that the node consumes now."`
	}
}

func (a *API) healthz(context.Context, *struct{}) (*alive, error) {
	var out alive
	out.Body.Status = "ok"
	return &out, nil
}

// readyz stays 200 while the bus is down: a restart of the bus must not make
// the load balancer drop every node at once.
func (a *API) readyz(_ context.Context, in *readyInput) (*ready, error) {
	h := a.node.Health()
	out := &ready{Status: http.StatusOK, Cache: "no-store"}
	out.Body.Status, out.Body.Bus, out.Body.Node, out.Body.Systems = h.Phase, "up", h.Node, h.Systems
	if out.Body.Systems == nil {
		out.Body.Systems = []string{}
	}
	if !h.BusUp {
		out.Body.Bus = "down"
	}
	if h.Phase != Ready || in.Bus == "required" && !h.BusUp {
		out.Status = http.StatusServiceUnavailable
	}
	return out, nil
}

func (a *API) registerHealth(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "healthz", Method: http.MethodGet, Path: "/healthz", Tags: []string{"Health"},
		Summary: "Is the process alive?",
	}, a.healthz)
	huma.Register(api, huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{"Health"},
		Summary: "Should new clients come here?",
		Description: "503 while the node is starting, draining or deaf. A bus that cannot be reached keeps it at 200 " +
			"with \"bus\":\"down\", unless ?bus=required is asked.",
		Responses: map[string]*huma.Response{"503": {Description: "Not now; the body is the same.", Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/ReadyBody"}},
		}}},
	}, a.readyz)
}
