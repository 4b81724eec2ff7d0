// Package arch holds the rules of dependency, each with its reason.
package arch_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/fanfarebus/fanfare"

// A rule says what the packages below from may not import.
type rule struct {
	from   string   // package below the module, and all below it; "." is the root alone
	never  []string // import paths, and all below them; "/x" is inside the module
	except []string // of never
	why    string
}

var rules = []rule{
	{"/domain", []string{"/adapters", "/ports", "/cmd", module}, []string{"/domain", "/internal/defaults", "/internal/metric"},
		"the domain knows nobody: it can be read, tested and trusted by itself; it describes what it counts, and not who shows it"},
	{"/domain", []string{"net", "os", "log", "github.com", "golang.org", "go.uber.org", "go.opentelemetry.io"}, []string{module, "net/url"},
		"the domain has no sockets, no files and no libraries: it is the standard library and rules"},
	{"/domain/history", []string{"/domain/stream", "sync"}, nil,
		"where a cursor stands is a question about values: without lock and sessions a table of cases can test it"},
	{"/domain/control", []string{"/domain/stream", "/domain/history", "/domain/envelope", "sync"}, nil,
		"who is there and who must go has nothing to do with messages: it needs no stream, and no lock, since its caller has one"},
	{"/internal", []string{module, "github.com", "golang.org", "go.uber.org"}, []string{"/internal"},
		"what all may use uses nobody: it is the standard library and a few lines"},
	{"/ports", []string{"/adapters"}, nil,
		"ports drive the domain and do not know who serves it: a bus or an auth can be swapped without them"},
	{"/adapters", []string{"/ports", "/publisher"}, nil,
		"adapters serve the domain and do not know who drives it"},
	{"/ports/ws", []string{"/ports/sse", "/ports/api", "/ports/router", "/ports/plane"}, nil, "ports do not know each other: each can be left out"},
	{"/ports/sse", []string{"/ports/ws", "/ports/api", "/ports/router", "/ports/plane"}, nil, "ports do not know each other: each can be left out"},
	{"/ports/api", []string{"/ports/ws", "/ports/sse", "/ports/session", "/ports/router", "/ports/plane"}, nil, "ports do not know each other: each can be left out"},
	{"/ports/router", []string{"/ports/ws", "/ports/sse", "/ports/session", "/ports/api", "/ports/plane"}, nil, "ports do not know each other: each can be left out"},
	{"/ports/plane", []string{"/ports", "/domain/stream", "/domain/history"}, []string{"/ports/plane"},
		"the control plane acts on sessions through an interface of its own: it knows neither them nor who asks it"},
	{"/ports/devpage", []string{module}, []string{"/ports/devpage"},
		"the page is a client like any other: it needs nothing of the node but the address it is served from"},
	{"/ports/session", []string{"/ports"}, []string{"/ports/session"},
		"what ports to clients share is below them: it knows none, so that each can be left out"},
	{"/ports/session", []string{"github.com/olahol/melody", "github.com/gorilla/websocket"}, nil,
		"what ports to clients share is of no protocol"},
	{"/adapters/kafka", []string{"/adapters"}, []string{"/adapters/kafka", "/adapters/transport"},
		"brokers do not know each other: swapping one must not pull in another"},
	{"/adapters/natscore", []string{"/adapters"}, []string{"/adapters/natscore", "/adapters/natsconn", "/adapters/transport"},
		"brokers do not know each other: swapping one must not pull in another"},
	{"/adapters/jetstream", []string{"/adapters"}, []string{"/adapters/jetstream", "/adapters/natsconn", "/adapters/transport"},
		"brokers do not know each other: swapping one must not pull in another"},
	{"/adapters/natsconn", []string{"/adapters"}, []string{"/adapters/natsconn", "/adapters/transport"},
		"what the NATS transports share is below them"},
	{"/adapters/memory", []string{"/adapters"}, []string{"/adapters/memory", "/adapters/transport"},
		"brokers do not know each other: swapping one must not pull in another"},
	{"/adapters/redisconn", []string{"/adapters"}, []string{"/adapters/redisconn", "/adapters/transport"},
		"what the Redis transports share is below them"},
	{"/adapters/redispubsub", []string{"/adapters"}, []string{"/adapters/redispubsub", "/adapters/redisconn", "/adapters/transport"},
		"brokers do not know each other: swapping one must not pull in another"},
	{"/adapters/redisstream", []string{"/adapters"}, []string{"/adapters/redisstream", "/adapters/redisconn", "/adapters/transport"},
		"brokers do not know each other: swapping one must not pull in another"},
	{"/adapters/watermillbus", []string{"/adapters"}, []string{"/adapters/watermillbus", "/adapters/transport"},
		"brokers do not know each other: swapping one must not pull in another"},
	{"/adapters/migrate", []string{"/adapters"}, []string{"/adapters/migrate", "/adapters/transport"},
		"any two buses can be moved between: the move knows none of them"},
	{"/test/conformance", []string{"/adapters", "/ports", "/cmd", "/test", module}, []string{"/adapters/transport", "/domain", "/test/conformance"},
		"the suite knows transports by their interface alone, as their authors elsewhere do"},
	{"/adapters/transport", []string{"/adapters"}, []string{"/adapters/transport"},
		"the portable transport knows drivers by their interface alone"},
	{"/adapters/transport/groupcommit", []string{"/adapters", "github.com/ThreeDotsLabs"},
		[]string{"/adapters/transport/groupcommit"},
		"concurrent publishes share a round trip whatever is published: it is tested by itself, without a bus or Watermill"},
	{"/adapters/transport/sequence", []string{"/adapters", "github.com/ThreeDotsLabs"},
		[]string{"/adapters/transport/sequence"},
		"numbers are put into bytes and read from entries: who sends and reads them is the transport's affair"},
	{"/adapters/transport/provenance", []string{"/adapters"}, []string{"/adapters/transport/provenance"},
		"what a copy says of its original is a format: reading and writing logs is the transport's and the move's affair"},
	{"/adapters/transport/dsn", []string{module, "github.com"}, []string{"/adapters/transport/dsn"},
		"a URL is text: what becomes of it, only the driver knows that reads it"},
	{"/adapters/auth", []string{"/adapters"}, []string{"/adapters/auth"}, "who somebody is has nothing to do with any bus"},
	{"/adapters/metrics", []string{"/adapters", "/domain"}, []string{"/adapters/metrics"},
		"the registry reads numbers; which ones, only the root knows"},
	{"/adapters/tracing", []string{"/adapters", "go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters"},
		[]string{"/adapters/tracing"},
		"spans are made by the API of OpenTelemetry alone: where they go, the program decides that the node is part of"},
	{".", []string{"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters", "go.opentelemetry.io/proto"}, nil,
		"a program that embeds a node chooses its own SDK, or none"},
	{"/ports", []string{"go.opentelemetry.io"}, nil,
		"ports know what a Tracer does and not which library does it"},
	{"/publisher", []string{"go.opentelemetry.io"}, nil,
		"who publishes without traces compiles nothing of them"},
	{"/cmd", []string{"google.golang.org/grpc"}, nil,
		"spans go by HTTP: gRPC would be a fifth of the command"},
	{"/adapters/loglimit", []string{module}, []string{"/adapters/loglimit"},
		"it stands in front of any log: it needs to know nothing of who writes it"},
	{"/client", []string{module, "github.com", "golang.org", "go.uber.org", "google.golang.org", "gopkg.in"},
		[]string{"/client", "github.com/gorilla/websocket"},
		"a client knows the protocol alone, as one in any other language does: nodes can change behind it, and whoever imports it gets no node"},
	{"/publisher", []string{module},
		[]string{"/publisher", "/adapters/transport", "/domain", "/internal/defaults", "/internal/editdistance"},
		"who publishes compiles the drivers it names and nothing of a node: the test of the package lists what that is"},
	{"/subscriber", []string{module},
		[]string{"/subscriber", "/adapters/transport", "/adapters/loglimit", "/domain", "/internal/defaults", "/internal/pause"},
		"who receives compiles the drivers it names and nothing of a node"},
	{"/subscriber", []string{"/domain/stream", "/domain/history"}, nil,
		"streams and their history are a node's: they are for sessions, which a subscriber does not have"},
	{"/webhook", []string{"/adapters", "/ports", "/cmd", "/publisher"}, []string{"/adapters/loglimit"},
		"what is posted comes from a Subscriber: the worker knows neither buses nor nodes"},
	{"/publisher", []string{"/domain/stream", "/domain/history"}, nil,
		"streams and their history are a node's: they are for sessions, which a publisher does not have"},
	{"/test/cluster", []string{"/adapters", "/ports", "/cmd", "/domain/stream", "/test"}, []string{"/adapters/memory", "/adapters/transport", "/test/cluster", "/test/internal"},
		"users' tests run nodes as users do, by the library's face: the kit drags in no broker, and knows no more of a node than they"},
	{"/test/clientkit", []string{module, "github.com"}, []string{"/test/clientkit", "github.com/gorilla/websocket"},
		"the script stands for the protocol: it plays a node, and takes nothing from one"},
	{"/test/internal", []string{"/ports", "/cmd", "/client", "/domain/stream", "/test"}, []string{"/test/internal"},
		"what fails on demand stands under every test of nodes: it knows none of them"},
	{"/test/freeport", []string{module, "github.com"}, nil,
		"every test and benchmark that starts a server uses it: it knows none of them"},
	{"/examples", []string{"/adapters", "/ports", "/cmd", "/domain", "/test"}, nil,
		"an example shows what a user has: the library's face"},
	{"/test/driverkit", []string{"/adapters", "/ports", "/cmd"}, []string{"/adapters/transport"},
		"the tests of all drivers use it: it knows drivers by their interface alone"},
	{".", []string{"/test"}, nil, "what is for tests stays out of what is tested"},
	{"/domain", []string{"/test"}, nil, "what is for tests stays out of what is tested"},
	{"/adapters", []string{"/test"}, nil, "what is for tests stays out of what is tested"},
	{"/ports", []string{"/test"}, nil, "what is for tests stays out of what is tested"},
	{"/cmd", []string{"/test"}, nil, "what is for tests stays out of what is tested"},
	{"/cmd", []string{"/ports"}, nil, "commands use the library's face, as any user does; only the root assembles"},
}

// An inside is a package that only few may import.
type inside struct {
	of  string   // package below the module
	by  []string // those that may, and all below them
	why string
}

var insides = []inside{
	{"/adapters/transport/groupcommit", []string{"/adapters/transport"},
		"a driver is what transport/driver.go says: how publishes share a round trip is the transport's affair"},
	{"/adapters/transport/sequence", []string{"/adapters/transport"},
		"a driver is what transport/driver.go says: numbers and missing ones are the transport's affair"},
	{"/adapters/transport/provenance", []string{"/adapters/transport", "/adapters/migrate"},
		"only a move writes where copies come from, and only the transport reads it"},
}

func TestInsides(t *testing.T) {
	packages := list(t)
	for _, in := range insides {
		for _, name := range append([]string{in.of}, in.by...) {
			if !exists(packages, absolute(name)) {
				t.Errorf("the rule for %s names %s, which is gone", in.of, name)
			}
		}
		for _, p := range packages {
			for _, imported := range p.Imports {
				if below(imported, absolute(in.of)) && !matches(p.ImportPath, append(in.by, in.of)) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imported, in.why)
				}
			}
		}
	}
}

func TestDependencies(t *testing.T) {
	packages := list(t)
	for _, r := range rules {
		found := false
		for _, p := range packages {
			if isRoot := p.ImportPath == module; !below(p.ImportPath, absolute(r.from)) && !(isRoot && r.from == ".") {
				continue
			}
			found = true
			for _, imported := range p.Imports {
				if matches(imported, r.never) && !matches(imported, r.except) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imported, r.why)
				}
			}
		}
		if !found {
			t.Errorf("the rule for %s names a package that is gone", r.from)
		}
		for _, other := range append(append([]string{}, r.never...), r.except...) {
			if strings.HasPrefix(other, "/") && !exists(packages, absolute(other)) {
				t.Errorf("the rule for %s names %s, which is gone", r.from, other)
			}
		}
	}
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T) (all []pkg) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func exists(packages []pkg, path string) bool {
	for _, p := range packages {
		if below(p.ImportPath, path) {
			return true
		}
	}
	return false
}

func matches(path string, patterns []string) bool {
	for _, p := range patterns {
		if below(path, absolute(p)) {
			return true
		}
	}
	return false
}

func absolute(path string) string {
	if strings.HasPrefix(path, "/") {
		return module + path
	}
	return path
}

func below(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }
