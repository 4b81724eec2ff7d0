package helm_test

import (
	"regexp"
	"strings"
	"testing"
)

var (
	// byHelm are lines that say that Helm made an object.
	byHelm = regexp.MustCompile(`(?m)^# Source: .*\n|^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n`)
	// empty are the lines that templates leave behind an object.
	empty = regexp.MustCompile(`\n{2,}(---|$)`)
)

// The manifests of deploy/kubernetes are the chart's, for those who do not use Helm.
func TestPlainManifestsAreTheCharts(t *testing.T) {
	t.Parallel()
	for _, m := range []struct{ file, head, values, templates string }{
		{"nodes.yaml", nodesHead, "", "configmap service deployment pdb"},
		{"autoscaling.yaml", autoscalingHead, "autoscaling: { enabled: true }\n", "hpa"},
		{"monitoring.yaml", monitoringHead, "monitoring: { serviceMonitor: true, alerts: true }\n", "monitoring"},
	} {
		args := []string{"template", "fanfare", chart, "--kube-version", kubernetes}
		var made strings.Builder
		for _, name := range strings.Fields(m.templates) {
			out, err := helm(t, least+m.values, append(args, "--show-only", "templates/"+name+".yaml")...)
			if err != "" {
				t.Fatalf("%s: %s", m.file, err)
			}
			made.WriteString(empty.ReplaceAllString(byHelm.ReplaceAllString(out, ""), "\n$1"))
		}
		decode(t, made.String())
		same(t, "deploy/kubernetes/"+m.file, m.head+made.String())
	}
}

// What the chart holds copies of, because Helm packs nothing from outside of a chart.
func TestTheChartHasTheAlertsAndTheDashboard(t *testing.T) {
	same(t, "deploy/helm/fanfare/files/alerts.yaml", read(t, "deploy/prometheus/alerts.yaml"))
	same(t, "deploy/helm/fanfare/files/dashboard.json", read(t, "deploy/grafana/fanfare.json"))
}

const nodesHead = `# Three nodes, for those who do not use Helm. This file is made from the chart, by
# "make manifests"; docs/deploying.md says what each part is for.
#
#   openssl rand -base64 48 > jwt-secret
#   fanfare key --name shop --scopes publish/orders     # put its entry into the file api-keys
#   echo redis-streams://:PASSWORD@redis:6379/0 > transport
#   kubectl create secret generic fanfare --from-file=transport --from-file=jwt-secret --from-file=api-keys
#   kubectl apply -f nodes.yaml
`

const autoscalingHead = `# As many nodes as there are sessions for, beside nodes.yaml, from which "replicas" is then
# to be removed. It needs an adapter that serves fanfare_sessions as a metric of pods:
# docs/deploying.md. This file is made from the chart, by "make manifests".
`

const monitoringHead = `# For the Prometheus operator: where the metrics are, and the alerts. This file is made
# from the chart, by "make manifests".
`
