package deploy_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// An image is what deploy/Dockerfile says of the image that it makes.
type image struct {
	From, User, Entrypoint string
	Env                    map[string]string
	Check, Exposed         []string
}

func readImage(t *testing.T) image {
	t.Helper()
	text := strings.ReplaceAll(read(t, "deploy/Dockerfile"), "\\\n", " ")
	i := image{Env: map[string]string{}}
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "FROM": // a new stage; the last one counts
			i = image{From: rest, Env: map[string]string{}}
		case "USER":
			i.User = rest
		case "ENTRYPOINT":
			i.Entrypoint = rest
		case "EXPOSE":
			i.Exposed = strings.Fields(rest)
		case "ENV":
			for _, pair := range strings.Fields(rest) {
				name, value, _ := strings.Cut(pair, "=")
				i.Env[name] = value
			}
		case "HEALTHCHECK":
			_, command, _ := strings.Cut(rest, "CMD ")
			if err := json.Unmarshal([]byte(command), &i.Check); err != nil {
				t.Fatalf("HEALTHCHECK: %q: %v", command, err)
			}
		}
	}
	return i
}

// TestTheImageIsSmallAndNotRoot is about what can be seen in the Dockerfile. That it can
// be built needs a Docker daemon.
func TestTheImageIsSmallAndNotRoot(t *testing.T) {
	i := readImage(t)
	if i.From != "gcr.io/distroless/static-debian12:nonroot" || i.User != "" {
		t.Errorf("it is made from %q and runs as %q: want the base without a shell, and its user", i.From, i.User)
	}
	if i.Entrypoint != `["/fanfare"]` {
		t.Errorf("it starts %s", i.Entrypoint)
	}
	for _, port := range i.Exposed {
		if i.Env["FANFARE_LISTEN"] != ":"+port && i.Env["FANFARE_ADMIN_LISTEN"] != ":"+port {
			t.Errorf("port %s is exposed, and nothing listens there: %v", port, i.Env)
		}
	}
}

// The image's check, with the image's environment, finds a node that was started with
// the same. So does compose's.
func TestTheChecksOfContainersFindTheNode(t *testing.T) {
	t.Parallel()
	i := readImage(t)
	var compose struct {
		Services map[string]struct {
			Healthcheck struct{ Test []string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	checks := [][]string{i.Check}
	for _, name := range []string{"fanfare1", "fanfare2", "fanfare3"} {
		test := compose.Services[name].Healthcheck.Test
		if len(test) < 2 || test[0] != "CMD" {
			t.Fatalf("%s is checked with %q", name, test)
		}
		checks = append(checks, test[1:])
	}
	env := []string{
		"FANFARE_AUTH_JWT_SECRET=" + strings.Repeat("s", 32),
		"FANFARE_LISTEN=" + freeport.Address(t), "FANFARE_ADMIN_LISTEN=" + freeport.Address(t),
	}
	ask := func(check []string) error {
		if check[0] != "/fanfare" {
			return fmt.Errorf("the image has no %s", check[0])
		}
		cmd := exec.Command(fanfareBinary, check[1:]...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%q: %w: %s", check, err, out)
		}
		return nil
	}
	for _, check := range checks {
		if ask(check) == nil {
			t.Errorf("%q finds a node, and there is none", check)
		}
	}
	start(t, env, "serve")
	for _, check := range checks {
		eventually(t, 20*time.Second, "the node is healthy", func() error { return ask(check) })
	}
}

// What compose waits for is known of by the services that it names.
func TestComposeWaitsForNodesThatTakeClients(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
			Environment map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	nginx := compose.Services["nginx"].DependsOn
	presence := regexp.MustCompile(`^\$\{FANFARE_PRESENCE_SYSTEMS:-.+\}$`)
	for _, name := range []string{"fanfare1", "fanfare2", "fanfare3"} {
		if got := nginx[name].Condition; got != "service_healthy" {
			t.Errorf("nginx waits for %s to be %q", name, got)
		}
		if got := compose.Services[name].Environment["FANFARE_PRESENCE_SYSTEMS"]; !presence.MatchString(got) {
			t.Errorf("%s: presence.systems is %q: nobody would know who is there", name, got)
		}
	}
}
