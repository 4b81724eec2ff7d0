package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fanfarebus/fanfare/domain"
)

// A Phase is where a node is in its life.
type Phase string

// Phases of a node. Only nodes that are Ready should get new clients.
const (
	Starting Phase = "starting" // it fills its windows
	Ready    Phase = "ready"
	Draining Phase = "draining" // it asks its sessions to go
	Deaf     Phase = "deaf"     // the bus answers, but no system's messages come
)

// Health is how a node is.
type Health struct {
	Phase   Phase
	BusUp   bool
	Node    string
	Systems []string // that are consumed now; the slice is not changed after it was returned
	Deaf    []string // those of Systems whose messages do not come; likewise

	// ControlDown says that the control topic cannot be read or written though the bus
	// answers. It does not keep clients away.
	ControlDown bool
}

type alive struct {
	Body struct {
		Status string `json:"status" enum:"ok" doc:"The process answers."`
	}
}

type readyInput struct {
	Bus    string   `query:"bus" enum:"required"`
	System []string `query:"system,explode" example:"orders,chat"`
}

// Resolve refuses unknown parameters: a health check with a misspelled parameter must not
// pass because nothing reads it.
func (*readyInput) Resolve(ctx huma.Context) (faults []error) {
	u := ctx.URL()
	for name := range u.Query() {
		if name != "bus" && name != "system" {
			faults = append(faults, &huma.ErrorDetail{
				Location: "query", Message: "unknown parameter: want bus or system", Value: name})
		}
	}
	return faults
}

type ready struct {
	Status int
	Cache  string `header:"Cache-Control"`
	Body   struct {
		Status  Phase    `json:"status" enum:"starting,ready,draining,deaf"`
		Bus     string   `json:"bus" enum:"up,down" doc:"Whether the bus can be reached."`
		Node    string   `json:"node" doc:"The node's name."`
		Systems []string `json:"systems" doc:"The systems that the node consumes now."`
		Deaf    []string `json:"deaf"`
		Control string   `json:"control,omitempty" enum:"down"`
	}
}

func (a *API) healthz(context.Context, *struct{}) (*alive, error) {
	var out alive
	out.Body.Status = "ok"
	return &out, nil
}

// readyz stays 200 while the bus is down: a restart of the bus must not make the load
// balancer drop every node at once. It also stays 200 while only some systems are deaf,
// since the node still serves the others.
func (a *API) readyz(_ context.Context, in *readyInput) (*ready, error) {
	asked, err := a.asked(in.System)
	if err != nil {
		return nil, err
	}
	h := a.node.Health()
	deaf := slices.ContainsFunc(h.Deaf, func(name string) bool {
		return asked[name] || asked[anySystem]
	})
	if h.Phase == Ready && deaf {
		h.Phase = Deaf
	}
	out := &ready{Status: http.StatusOK, Cache: "no-store"}
	out.Body.Status, out.Body.Bus, out.Body.Node = h.Phase, "up", h.Node
	out.Body.Systems = append([]string{}, h.Systems...) // not nil, which would be null in JSON
	out.Body.Deaf = append([]string{}, h.Deaf...)
	if !h.BusUp {
		out.Body.Bus = "down"
	}
	if h.ControlDown {
		out.Body.Control = "down"
	}
	if h.Phase != Ready || in.Bus == "required" && !h.BusUp {
		out.Status = http.StatusServiceUnavailable
	}
	return out, nil
}

// anySystem stands for all systems that are consumed.
const anySystem = "*"

// asked returns the systems that a health check names, if all of them are served here.
func (a *API) asked(names []string) (map[string]bool, error) {
	all := make(map[string]bool, len(names))
	for _, name := range strings.Split(strings.Join(names, ","), ",") {
		if name == "" {
			continue
		}
		if name == anySystem {
			all[name] = true
			continue
		}
		system, err := domain.ParseSystem(name)
		if err != nil {
			return nil, huma.Error422UnprocessableEntity("system: " + err.Error())
		}
		if !a.node.Serves(system) {
			return nil, huma.Error404NotFound("system " + name + " is not served here")
		}
		all[name] = true
	}
	return all, nil
}

func (a *API) registerHealth(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "healthz", Method: http.MethodGet, Path: "/healthz", Tags: []string{tagHealth},
		Summary: "Is the process alive?",
	}, a.healthz)
	huma.Register(api, huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{tagHealth},
		Summary: "Should new clients come here?",
		Description: "503 while the node is starting, draining or deaf. " +
			"A bus that cannot be reached keeps it at 200 with \"bus\":\"down\", " +
			"unless ?bus=required is asked. " +
			"Some deaf systems among others keep it at 200 and stand in \"deaf\"; " +
			"?system=orders,chat is 503 if one of these is among them, ?system=* if any is.",
		Responses: map[string]*huma.Response{"503": {
			Description: "Not now; the body is the same.",
			Content: map[string]*huma.MediaType{
				"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/ReadyBody"}},
			},
		}},
	}, a.readyz)
	describeReady(api.OpenAPI())
}

// describeReady adds the descriptions that are too long for the tags of readyInput and
// ready.
func describeReady(doc *huma.OpenAPI) {
	for _, p := range doc.Paths["/readyz"].Get.Parameters {
		switch p.Name {
		case "bus":
			p.Description = "\"required\" also demands that the bus can be reached."
		case "system":
			p.Description = "Also demands that none of these systems is deaf here; " +
				"\"*\": none at all."
		}
		p.Schema.Description = p.Description
	}
	body := doc.Components.Schemas.Map()["ReadyBody"].Properties
	body["status"].Description = "deaf: the bus answers, but no system's messages come; " +
		"or not those that ?system= names."
	body["control"].Description = "down: the control topic cannot be read or written, though " +
		"the bus answers; otherwise absent. The node serves its clients all the same."
	body["deaf"].Description = "Of these, the systems whose messages do not come here, " +
		"though the bus answers."
}
