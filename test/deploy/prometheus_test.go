package deploy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// A real Prometheus asks two nodes, with the configuration of docs/deploying.md and the
// alerts. It can evaluate every alert and all that the dashboard asks, and no alert
// fires: that one series fits to another is seen only where both are real.
func TestARealPrometheusAsksNodes(t *testing.T) {
	t.Parallel()
	program := needs(t, "prometheus")
	var targets []string
	for i := range 2 {
		listen, admin := freeport.Address(t), freeport.Address(t)
		start(t, []string{"FANFARE_AUTH_JWT_SECRET=" + strings.Repeat("s", 32)}, "serve", "--node", fmt.Sprintf("n%d", i+1),
			"--listen", listen, "--admin_listen", admin, "--systems", "orders", "--presence.systems", "orders", "--drain", "1s")
		targets = append(targets, admin)
	}
	p := startPrometheus(t, program, configuration(t, targets))

	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, State string }
			}
		}
	}
	eventually(t, 40*time.Second, "all alerts are evaluated while both nodes answer", func() error {
		if up := p.query(t, `count(up{job="fanfare"} == 1)`); up != "2" {
			return fmt.Errorf("%q nodes answer", up)
		}
		p.get(t, "/api/v1/rules", &answer)
		for _, g := range answer.Data.Groups {
			for _, r := range g.Rules {
				if r.Health == "unknown" || r.State == "pending" { // while nodes start
					return fmt.Errorf("%s is %s, and its health %s", r.Name, r.State, r.Health)
				}
			}
		}
		return nil
	})
	rules := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			rules++
			if r.Health != "ok" || r.State != "inactive" {
				t.Errorf("%s: %s, %s: %s", r.Name, r.Health, r.State, r.LastError)
			}
		}
	}
	if want := len(readAlerts(t)); rules != want {
		t.Errorf("Prometheus has %d rules, want %d", rules, want)
	}
	for where, expr := range readDashboard(t).expressions() {
		if _, err := p.ask(expr); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	if got := p.query(t, `sum(fanfare_bus_up{job="fanfare"})`); got != "2" {
		t.Errorf("%s nodes of 2 have the bus", got)
	}
}

// configuration returns the file that is on the page, with these targets, the
// repository's alerts, and an interval that a test can wait for.
func configuration(t *testing.T, targets []string) string {
	t.Helper()
	found := regexp.MustCompile("(?s)```yaml\n(rule_files: .*?)```").FindStringSubmatch(read(t, "docs/deploying.md"))
	if found == nil {
		t.Fatal("docs/deploying.md has no configuration of Prometheus")
	}
	var c struct {
		Global    map[string]string `yaml:"global"`
		RuleFiles []string          `yaml:"rule_files"`
		Scrape    []map[string]any  `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(found[1]), &c); err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs("../../deploy/prometheus/" + c.RuleFiles[0])
	if err != nil {
		t.Fatal(err)
	}
	c.Global = map[string]string{"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
	c.RuleFiles = []string{rules}
	c.Scrape[0]["static_configs"] = []any{map[string]any{"targets": targets}}
	return writeYAML(t, c)
}

// A prometheus is a running one.
type prometheus struct{ url string }

func startPrometheus(t *testing.T, program, config string) prometheus {
	t.Helper()
	address := freeport.Address(t)
	said := &log{}
	cmd := exec.Command(program, "--config.file", config, "--web.listen-address", address,
		"--storage.tsdb.path", t.TempDir(), "--log.level", "warn")
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		killed := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // its exit code is its own affair
		killed.Stop()
		if t.Failed() {
			t.Logf("log of Prometheus:\n%s", strings.TrimSpace(said.String()))
		}
	})
	p := prometheus{"http://" + address}
	eventually(t, 20*time.Second, "Prometheus is ready", func() error {
		r, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", r.Status)
		}
		return nil
	})
	return p
}

func (p prometheus) get(t *testing.T, path string, into any) {
	t.Helper()
	r, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// A sample is one value of an answer: when, and how much.
type sample [2]any

// ask evaluates an expression, and returns the values that it has.
func (p prometheus) ask(expr string) (all []sample, err error) {
	r, err := http.Get(p.url + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result []struct{ Value sample } }
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s (%v)", expr, text, err)
	}
	for _, one := range answer.Data.Result {
		all = append(all, one.Value)
	}
	return all, nil
}

// query returns the one value of an expression, "" if it has none.
func (p prometheus) query(t *testing.T, expr string) string {
	t.Helper()
	all, err := p.ask(expr)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		return ""
	}
	return fmt.Sprint(all[0][1])
}
