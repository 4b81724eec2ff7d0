package deploy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An alert is one rule of deploy/prometheus/alerts.yaml.
type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func readAlerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no alerts")
	}
	return all
}

// A panel is a part of Grafana's dashboard.
type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	Targets                  []struct{ Expr, LegendFormat string }
}

type dashboard struct {
	Panels     []panel
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Annotations struct {
		List []struct{ Expr string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/fanfare.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// expressions returns what the dashboard asks of Prometheus, by where it does.
func (d dashboard) expressions() map[string]string {
	filled := strings.NewReplacer("$__rate_interval", "5m", "$job", "fanfare", "$instance", ".*", "$system", "orders")
	all := map[string]string{}
	for _, p := range d.Panels {
		for i, t := range p.Targets {
			all[fmt.Sprintf("%s, line %d", p.Title, i+1)] = filled.Replace(t.Expr)
		}
	}
	for i, a := range d.Annotations.List {
		all[fmt.Sprintf("annotation %d", i+1)] = filled.Replace(a.Expr)
	}
	for _, v := range d.Templating.List {
		if series, found := strings.CutPrefix(v.Definition, "label_values("); found {
			all["variable "+v.Name] = filled.Replace(series[:strings.LastIndex(series, ",")])
		}
	}
	return all
}

func TestPrometheusReadsAlertsAndDashboard(t *testing.T) {
	t.Parallel()
	promtool := needs(t, "promtool")
	must(t, exec.Command(promtool, "check", "rules", "--lint-fatal", "../../deploy/prometheus/alerts.yaml"))
	// What a dashboard asks can be checked as the expressions of rules.
	type rule struct{ Record, Expr string }
	var asked []rule
	for _, expr := range readDashboard(t).expressions() {
		asked = append(asked, rule{fmt.Sprintf("asked_%d", len(asked)), expr})
	}
	must(t, exec.Command(promtool, "check", "rules", "--lint=none", writeYAML(t, map[string]any{
		"groups": []any{map[string]any{"name": "dashboard", "rules": asked}},
	})))
}

func writeYAML(t *testing.T, v any) string {
	t.Helper()
	text, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Each metric is one of the table in docs/operating.md, which another test compares with
// those of a real node, and has the labels by which it is selected.
func TestAlertsAndDashboardNameRealMetrics(t *testing.T) {
	metrics := metricsOfThePage(t)
	if metrics["fanfare_ready"] == nil {
		t.Skip("docs/operating.md does not have the metrics yet that the alerts are written for")
	}
	all := readDashboard(t).expressions()
	for _, a := range readAlerts(t) {
		all["alert "+a.Alert] = a.Expr
	}
	used := map[string]bool{}
	for where, expr := range all {
		for _, found := range selector.FindAllStringSubmatch(expr, -1) {
			labels, known := metrics[found[1]], metrics[found[1]] != nil
			if base := suffix.ReplaceAllString(found[1], ""); !known && slices.Contains(metrics[base], "le") {
				labels, known = metrics[base], true
			}
			if !known {
				t.Errorf("%s: no node has %s", where, found[1])
			}
			used[found[1]] = true
			for _, l := range label.FindAllStringSubmatch(found[2], -1) {
				if l[1] != "job" && l[1] != "instance" && !slices.Contains(labels, l[1]) {
					t.Errorf("%s: %s has no label %s", where, found[1], l[1])
				}
			}
		}
	}
	if len(used) < 40 {
		t.Errorf("%d metrics are used: are the expressions read right?", len(used))
	}
}

var (
	selector = regexp.MustCompile(`\b(fanfare_\w+)(\{[^}]*\})?`)
	label    = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
	suffix   = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// metricsOfThePage returns the labels of each metric in docs/operating.md; those of a
// histogram include le.
func metricsOfThePage(t *testing.T) map[string][]string {
	t.Helper()
	_, section, _ := strings.Cut(read(t, "docs/operating.md"), "\n### All metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	metrics := map[string][]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if !strings.HasPrefix(line, "| `fanfare_") || len(cells) < 4 {
			continue
		}
		labels := []string{}
		for l := range strings.SplitSeq(strings.NewReplacer("`", "", " ", "").Replace(cells[3]), ",") {
			labels = append(labels, l)
		}
		if strings.Contains(cells[2], "histogram") {
			labels = append(labels, "le")
		}
		metrics[strings.Split(cells[1], "`")[1]] = labels
	}
	if len(metrics) < 40 {
		t.Fatalf("the page has %d metrics: is it read right?", len(metrics))
	}
	return metrics
}

// Whoever is woken by an alert is led to what to do.
func TestEachAlertSaysWhatToDo(t *testing.T) {
	const page = "https://github.com/fanfarebus/fanfare/blob/main/docs/operating.md#"
	_, section, _ := strings.Cut(read(t, "docs/operating.md"), "\n## Alerts\n")
	section, _, _ = strings.Cut(section, "\n## ")
	on := map[string]string{}
	for _, part := range strings.Split(section, "\n### ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		on[name] = strings.TrimSpace(text)
	}
	for _, a := range readAlerts(t) {
		if got, want := a.Annotations["runbook_url"], page+strings.ToLower(a.Alert); got != want {
			t.Errorf("%s leads to %s, want %s", a.Alert, got, want)
		}
		if len(on[a.Alert]) < 80 {
			t.Errorf("docs/operating.md does not say what to do about %s: %q", a.Alert, on[a.Alert])
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) {
			t.Errorf("%s: severity is %q", a.Alert, a.Labels["severity"])
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s does not say what it is about", a.Alert)
		}
		delete(on, a.Alert)
	}
	for name := range on {
		t.Errorf("docs/operating.md speaks of %s, which is no alert", name)
	}
}

func TestTheDashboardCanBeRead(t *testing.T) {
	d := readDashboard(t)
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: id %d is there twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("%s does not say what it shows, or shows nothing", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			if x >= 24 {
				t.Fatalf("%s stands beyond the edge", p.Title)
			}
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies upon %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// A trial is what an alert is tried with: series that make it fire after the given
// minutes, and series of a healthy node, with which it is silent.
type trial struct {
	fires, silent map[string]string
	after         int
}

// node adds the labels that Prometheus gives to what it has asked a node for.
func node(series map[string]string) (all []map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(series)) {
		metric, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		if !strings.Contains(labels, "instance=") {
			labels = strings.Trim(labels+`,instance="n1:9090"`, ",")
		}
		all = append(all, map[string]string{
			"series": fmt.Sprintf(`%s{job="fanfare",%s}`, metric, labels), "values": series[name],
		})
	}
	return all
}

// one is a trial of a single series.
func one(name, fires, silent string, after int) trial {
	return trial{map[string]string{name: fires}, map[string]string{name: silent}, after}
}

// counter is a trial of a counter without a label: it grows once, or stands still. The
// series begin at their first count if it has labels.
func counter(name string) trial {
	if strings.Contains(name, "{") {
		return one(name, "_x30 1x30", "1x60", 31)
	}
	return one(name, "0x30 1x30", "1x60", 32)
}

var (
	slow = map[string]string{}
	fast = map[string]string{}
)

func init() {
	for _, m := range []string{"fanfare_bus_publish_duration_seconds", `fanfare_delivery_delay_seconds`} {
		for le, n := range map[string][2]int{"0.25": {0, 600}, "0.5": {0, 600}, "1": {600, 600}, "+Inf": {600, 600}} {
			name := fmt.Sprintf(`%s_bucket{port="ws",le="%s"}`, m, le)
			slow[name], fast[name] = fmt.Sprintf("0+%dx60", n[0]), fmt.Sprintf("0+%dx60", n[1])
		}
	}
}

var trials = map[string]trial{
	"FanfareAbsent": {map[string]string{"up": "0x60"}, map[string]string{"fanfare_build_info": "1x60"}, 10},
	"FanfareNodeDown": {
		map[string]string{"fanfare_build_info": "1x10 _x50", "up": "1x10 0x50"},
		// Another job's target is down, and a node answers.
		map[string]string{"fanfare_build_info": "1x60", "up": "1x60", `up{instance="other:80"}`: "0x60"}, 20,
	},
	"FanfareNotReady": {
		map[string]string{"fanfare_ready": "0x60", "fanfare_draining": "0x60"},
		map[string]string{"fanfare_ready": "0x60", "fanfare_draining": "1x60"}, 10,
	},
	"FanfareDrainStuck": one("fanfare_draining", "1x60", "1x3 0x57", 20),
	"FanfareSessionsNearLimit": {
		map[string]string{"fanfare_sessions": "900x60", "fanfare_sessions_limit": "1000x60"},
		map[string]string{"fanfare_sessions": "800x60", "fanfare_sessions_limit": "1000x60"}, 20,
	},
	"FanfareFilesNearLimit": {
		map[string]string{"process_open_fds": "900x60", "process_max_fds": "1000x60", "fanfare_build_info": "1x60"},
		map[string]string{"process_open_fds": "900x60", "process_max_fds": "1000x60"}, 20, // not a node
	},
	"FanfarePanics":           counter("fanfare_panics_total"),
	"FanfareBusDown":          one("fanfare_bus_up", "0x60", "1x60", 10),
	"FanfareDeaf":             one(`fanfare_deaf{system="orders"}`, "1x60", "0x60", 10),
	"FanfareBusLag":           one(`fanfare_bus_lag_seconds{system="orders"}`, "9x60", "1x60", 10),
	"FanfareGaps":             counter(`fanfare_bus_gaps_total{reason="trimmed"}`),
	"FanfareBusLosesMessages": counter("fanfare_bus_missing_sequences_total"),
	"FanfareBusUnstable":      one("fanfare_bus_interruptions_total", "0+1x60", "0x30 2x30", 40),
	"FanfarePublishFails": {
		map[string]string{"fanfare_bus_publish_errors_total": "0+2x60", "fanfare_bus_published_total": "0+98x60"},
		map[string]string{"fanfare_bus_publish_errors_total": "0x60", "fanfare_bus_published_total": "0+98x60"}, 20,
	},
	"FanfarePublishSlow":     {slow, fast, 30},
	"FanfareGroupLost":       counter("fanfare_bus_group_lost_total"),
	"FanfarePoison":          counter("fanfare_poison_total"),
	"FanfareIdConflicts":     counter(`fanfare_id_conflicts_total{system="orders"}`),
	"FanfareRepetitionsPass": counter(`fanfare_dedupe_forgotten_total{system="orders"}`),
	"FanfareDeliverySlow":    {slow, fast, 30},
	"FanfareClientsBehind": {
		map[string]string{`fanfare_behind_sessions{system="orders"}`: "20x60", `fanfare_attached_sessions{system="orders"}`: "100x60"},
		map[string]string{`fanfare_behind_sessions{system="orders"}`: "5x60", `fanfare_attached_sessions{system="orders"}`: "100x60"}, 20,
	},
	"FanfareClientsStall": {
		map[string]string{`fanfare_sessions_closed_total{code="4008"}`: "0+5x60", "fanfare_sessions": "1000x60"},
		map[string]string{`fanfare_sessions_closed_total{code="4008"}`: "0+1x60", "fanfare_sessions": "1000x60"}, 30,
	},
	"FanfareClientsRefused": {
		map[string]string{`fanfare_refusals_total{reason="signature"}`: "0+120x60", "fanfare_sessions_opened_total": "0+60x60"},
		map[string]string{`fanfare_refusals_total{reason="draining"}`: "0+120x60", `fanfare_refusals_total{reason="expired"}`: "0+5x60", "fanfare_sessions_opened_total": "0+60x60"}, 30,
	},
	"FanfareIssuerSilent":   one("fanfare_jwks_age_seconds", "4000x60", "900x60", 10),
	"FanfareUnnamedClients": one(`fanfare_unnamed_clients_total{reason="missing"}`, "0+1x60", "7x60", 40),
	"FanfareFetchingAnew":   one(`fanfare_gaps_told_total{reason="too_far"}`, "0+1x60", "7x60", 40),
	"FanfareControlDown":    one("fanfare_control_up", "0x60", "1x60", 10),
	"FanfareNodesApart": {
		map[string]string{"fanfare_control_nodes": "2x60", `fanfare_control_nodes{instance="n2:9090"}`: "1x60", "fanfare_ready": "1x60", `fanfare_ready{instance="n2:9090"}`: "1x60"},
		// A node that starts does not know the others yet.
		map[string]string{"fanfare_control_nodes": "2x60", `fanfare_control_nodes{instance="n2:9090"}`: "1x60", "fanfare_ready": "1x60", `fanfare_ready{instance="n2:9090"}`: "0x60"}, 20,
	},
	"FanfareControlForged":  counter(`fanfare_control_refused_total{reason="forged"}`),
	"FanfareEventsDropped":  counter("fanfare_events_dropped_total"),
	"FanfareWebhookDropped": counter(`fanfare_webhook_dropped_total{endpoint="crm"}`),
	"FanfareWebhookFailing": {
		map[string]string{`fanfare_webhook_failed_total{endpoint="crm"}`: "0+3x60", `fanfare_webhook_delivered_total{endpoint="crm"}`: "5x60"},
		map[string]string{`fanfare_webhook_failed_total{endpoint="crm"}`: "0+3x60", `fanfare_webhook_delivered_total{endpoint="crm"}`: "0+1x60"}, 40,
	},
	"FanfareWebhookGone": one(`fanfare_webhook_gone{endpoint="crm"}`, "1x60", "0x60", 5),
}

// Each alert fires when it should, and is silent when all is well.
func TestAlertsFireAndAreSilent(t *testing.T) {
	t.Parallel()
	promtool := needs(t, "promtool")
	rules, err := filepath.Abs("../../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tests []any
	add := func(name, what string, series map[string]string, minute int, samples []any) {
		tests = append(tests, map[string]any{
			"name": name + " " + what, "interval": "1m", "input_series": node(series),
			"promql_expr_test": []any{map[string]any{
				"expr":      fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"}) > bool 0`, name),
				"eval_time": fmt.Sprintf("%dm", minute), "exp_samples": samples,
			}},
		})
	}
	left := maps.Clone(trials)
	for _, a := range readAlerts(t) {
		trial, ok := trials[a.Alert]
		if !ok {
			t.Errorf("%s is not tried", a.Alert)
		}
		delete(left, a.Alert)
		add(a.Alert, "fires", trial.fires, trial.after, []any{map[string]any{"labels": "{}", "value": 1}})
		add(a.Alert, "is silent", trial.silent, trial.after, []any{})
	}
	for name := range left {
		t.Errorf("%s is tried, and is no alert", name)
	}
	file := writeYAML(t, map[string]any{"rule_files": []string{rules}, "evaluation_interval": "1m", "tests": tests})
	must(t, exec.Command(promtool, "test", "rules", file))
}
