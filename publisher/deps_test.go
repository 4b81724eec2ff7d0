package publisher_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fanfarebus/fanfare"

// ours are the packages of this module that every publisher compiles. A path that
// ends in … stands for all packages below it as well.
var ours = []string{
	"/publisher", "/domain", "/domain/envelope", "/domain/jsontext", "/adapters/transport…", "/internal…",
}

// ofANode are packages that only a node needs, or the commands.
var ofANode = map[string]string{
	"github.com/olahol/melody":       "it holds WebSocket sessions",
	"github.com/gorilla/websocket":   "it speaks WebSocket, and a publisher speaks to the bus",
	"github.com/danielgtaylor/huma":  "it serves the HTTP API",
	"github.com/golang-jwt/jwt":      "it reads the tokens of sessions",
	"github.com/prometheus":          "it shows the metrics of a node",
	"github.com/spf13":               "it reads the flags of the commands",
	"go.yaml.in/yaml":                "it reads the settings file of the commands",
	"github.com/nats-io/nats-server": "it is a broker",
	"go.uber.org/goleak":             "it is for tests",
	"pgregory.net/rapid":             "it is for tests",
}

// clients are the libraries that speak with brokers.
var clients = map[string][]string{
	"redis": {"github.com/redis", "github.com/ThreeDotsLabs/watermill-redisstream"},
	"nats":  {"github.com/nats-io"},
	"kafka": {"github.com/twmb"},
}

// most is how many packages outside the standard library a publisher with one driver
// may compile. With Kafka's client, which is the largest, there are some 50. A publisher that
// needs many more compiles a second client or a part of a node. Package fanfare, with
// everything, has some 160.
const most = 60

func TestPublisherCompilesOneDriverAndNothingOfANode(t *testing.T) {
	for _, tt := range []struct {
		driver string   // a package below adapters; "" for none
		shared []string // what the driver shares with others, below adapters
		client string   // of clients
	}{
		{},
		{driver: "memory"},
		{driver: "watermillbus"},
		{"redispubsub", []string{"redisconn"}, "redis"},
		{"redisstream", []string{"redisconn"}, "redis"},
		{"natscore", []string{"natsconn"}, "nats"},
		{"jetstream", []string{"natsconn"}, "nats"},
		{driver: "kafka", client: "kafka"},
	} {
		name, roots, allowed := "no driver", []string{module + "/publisher"}, slices.Clone(ours)
		if tt.driver != "" {
			name, roots = tt.driver, append(roots, module+"/adapters/"+tt.driver)
			for _, p := range append(tt.shared, tt.driver) {
				allowed = append(allowed, "/adapters/"+p+"…")
			}
		}
		t.Run(name, func(t *testing.T) {
			all := compiled(t, roots)
			for _, p := range all {
				if inside, ok := strings.CutPrefix(p, module); ok && !isAmong(inside, allowed) {
					t.Errorf("%s is compiled: it is not the publisher's, the transport's or the driver's", p)
				}
				for forbidden, why := range ofANode {
					if isBelow(p, forbidden) {
						t.Errorf("%s is compiled: %s", p, why)
					}
				}
				for broker, libraries := range clients {
					if broker != tt.client && slices.ContainsFunc(libraries, func(l string) bool { return isBelow(p, l) }) {
						t.Errorf("%s is compiled: it is for %s, whose driver was not named", p, broker)
					}
				}
			}
			t.Logf("%d packages outside the standard library", len(all))
			if len(all) > most {
				t.Errorf("%d packages are compiled beside the standard library; at most %d are right:\n%s",
					len(all), most, strings.Join(all, "\n"))
			}
		})
	}
}

// A rule about what does not exist forbids nothing.
func TestForbiddenPackagesExist(t *testing.T) {
	all := compiled(t, []string{"-test", module + "/..."})
	check := func(forbidden string) {
		if !slices.ContainsFunc(all, func(p string) bool { return isBelow(p, forbidden) }) {
			t.Errorf("the test forbids %s, which nothing in the module compiles", forbidden)
		}
	}
	for forbidden := range ofANode {
		check(forbidden)
	}
	for _, libraries := range clients {
		for _, l := range libraries {
			check(l)
		}
	}
}

// compiled lists the packages outside the standard library that a program with
// these imports compiles.
func compiled(t *testing.T, imports []string) []string {
	t.Helper()
	const format = "{{if not .Standard}}{{.ImportPath}}{{end}}"
	list := exec.Command("go", append([]string{"list", "-deps", "-f", format}, imports...)...)
	list.Stderr = t.Output()
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Fields(string(out))
}

func isAmong(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		all, below := strings.CutSuffix(p, "…")
		return path == all || below && isBelow(path, all)
	})
}

func isBelow(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }
