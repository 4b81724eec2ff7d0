package helm_test

import (
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// least are the fewest values that the chart can be installed with.
const least = "secret: { name: fanfare }\n"

// renderings are values that people give. Each is rendered, read strictly, and checked.
var renderings = map[string]string{
	"the least": least,
	"everything": least + `
image: { repository: registry.example.com/push, digest: "sha256:` + sixtyFour + `", pullPolicy: Always }
imagePullSecrets: [{ name: registry }]
settings:
  systems: [orders, chat]
  presence: { systems: chat }
  proxies: [10.0.0.0/8]
  origins: ["https://*.example.com"]
  limits: { sessions: 2000000, message_bytes: 64KiB }
  "auth.jwt.issuer": https://login.example.com
  auth: { query_token: true, jwt: { leeway: 30s } }
drainSeconds: 120
preStopSeconds: 0
minReadySeconds: 10
rollingUpdate: { maxSurge: 25%, maxUnavailable: 0 }
podDisruptionBudget: { enabled: true, maxUnavailable: 20% }
autoscaling: { enabled: true, minReplicas: 2, maxReplicas: 40, sessionsPerNode: 50000 }
service: { type: LoadBalancer, port: 80, annotations: { example.com/internal: "true" } }
ingress:
  enabled: true
  className: nginx
  annotations: { example.com/read-timeout: "3600" }
  hosts: [push.example.com, push.example.org]
  tls: [{ secretName: push-tls, hosts: [push.example.com, push.example.org] }]
networkPolicy:
  enabled: true
  clients: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: ingress } } }]
  monitoring: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: monitoring } } }]
monitoring: { serviceMonitor: true, alerts: true, dashboard: true, interval: 30s, labels: { release: prometheus } }
serviceAccountName: push
priorityClassName: high
nodeSelector: { kubernetes.io/arch: arm64 }
tolerations: [{ key: push, operator: Exists }]
affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: pool, operator: In, values: [push] }] }] } } }
topologySpreadConstraints: [{ maxSkew: 1, topologyKey: rack, whenUnsatisfiable: DoNotSchedule, labelSelector: { matchLabels: { app.kubernetes.io/name: fanfare } } }]
podAnnotations: { example.com/team: push }
podLabels: { example.com/team: push }
extraEnv: [{ name: FANFARE_LOG_LEVEL, value: debug }]
extraVolumes: [{ name: ca, secret: { secretName: redis-ca } }]
extraVolumeMounts: [{ name: ca, mountPath: /etc/redis-ca, readOnly: true }]
`,
	"a bus without a password": `
secret: { name: fanfare, files: { transport: "" } }
settings: { transport: "redis-streams://redis:6379/0" }
`,
	"public keys": `
secret: { name: fanfare, files: { auth.jwt.secret: "", auth.jwt.public_key: keys.pem } }
`,
	"users that the cluster chooses":   least + "podSecurityContext: { runAsUser: null, runAsGroup: null, fsGroup: null }\n",
	"neither budget nor anything else": least + "podDisruptionBudget: { enabled: false }\nreplicas: 1\n",
}

const sixtyFour = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestHelmFindsNoFault(t *testing.T) {
	t.Parallel()
	for name, values := range renderings {
		if out, err := helm(t, values, "lint", chart, "--strict", "--kube-version", kubernetes); err != "" {
			t.Errorf("%s: %s%s", name, out, err)
		}
	}
}

func TestWhatTheChartMakesFitsTogether(t *testing.T) {
	t.Parallel()
	for name, values := range renderings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := decode(t, template(t, values))
			isRestricted(t, o)
			fits(t, o)
			hasTimeToDrain(t, o)
			n := materialize(t, o, nil)
			check := exec.Command(fanfareBinary, append([]string{"config", "check"}, n.args[1:]...)...)
			check.Env = n.env
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("a node would not start: %v\n%s\n%s", err, out, o.settings[0].Data["fanfare.yaml"])
			}
		})
	}
}

// isRestricted asks the same rules as a namespace with the pod security standard
// "restricted" enforces.
func isRestricted(t *testing.T, o objects) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	of := func(m meta.ObjectMeta, s core.PodSpec) {
		for _, r := range evaluator.EvaluatePod(restricted, &m, &s) {
			if !r.Allowed {
				t.Errorf("pod security forbids it: %s (%s)", r.ForbiddenReason, r.ForbiddenDetail)
			}
		}
		for _, c := range s.Containers {
			if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
				t.Errorf("%s may write to its image", c.Name)
			}
		}
		if s.AutomountServiceAccountToken == nil || *s.AutomountServiceAccountToken {
			t.Error("the pod has a token for the cluster's API, and no need of it")
		}
	}
	d, _ := o.deployment(t)
	of(d.Spec.Template.ObjectMeta, d.Spec.Template.Spec)
	if len(o.tests) != 1 {
		t.Fatalf("%d pods that test", len(o.tests))
	}
	of(o.tests[0].ObjectMeta, o.tests[0].Spec)
}

// fits checks that what names something else names what there is.
func fits(t *testing.T, o objects) {
	t.Helper()
	d, c := o.deployment(t)
	labels := d.Spec.Template.Labels
	selects := func(what string, selector map[string]string) {
		t.Helper()
		if len(selector) == 0 || !contains(labels, selector) {
			t.Errorf("%s selects %v, nodes are labelled %v", what, selector, labels)
		}
		if contains(o.tests[0].Labels, selector) {
			t.Errorf("%s selects the pod that tests, too", what)
		}
	}
	ports := map[string]int32{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	hasPort := func(what string, port intstr.IntOrString) {
		t.Helper()
		if port.Type != intstr.String || ports[port.StrVal] == 0 {
			t.Errorf("%s leads to port %s, nodes have %v", what, port.String(), ports)
		}
	}
	selects("the Deployment", d.Spec.Selector.MatchLabels)
	public := map[string]bool{}
	for _, s := range o.services {
		selects("Service "+s.Name, s.Spec.Selector)
		for _, p := range s.Spec.Ports {
			hasPort("Service "+s.Name, p.TargetPort)
			public[p.Name] = public[p.Name] || s.Spec.ClusterIP != core.ClusterIPNone
		}
	}
	if !maps.Equal(public, map[string]bool{"http": true, "admin": false}) {
		t.Errorf("the services' ports, and whether they are for others: %v", public)
	}
	for what, probe := range map[string]*core.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil {
			t.Fatalf("there is no probe of %s", what)
		}
		hasPort("the probe of "+what, probe.HTTPGet.Port)
	}
	for _, b := range o.budgets {
		selects("the budget", b.Spec.Selector.MatchLabels)
	}
	for _, p := range o.policies {
		selects("the network policy", p.Spec.PodSelector.MatchLabels)
		for _, in := range p.Spec.Ingress {
			for _, port := range in.Ports {
				hasPort("the network policy", *port.Port)
				if port.Port.StrVal == "admin" && len(in.From) == 0 {
					t.Error("the network policy lets everybody ask for metrics")
				}
			}
		}
	}
	for _, m := range o.monitors {
		i := slices.IndexFunc(o.services, func(s *core.Service) bool { return contains(s.Labels, m.Spec.Selector.MatchLabels) })
		if i < 0 || len(o.services[i].Spec.Ports) != 1 || o.services[i].Spec.Ports[0].Name != m.Spec.Endpoints[0].Port {
			t.Errorf("the ServiceMonitor finds service %d of %d, with port %s", i, len(o.services), m.Spec.Endpoints[0].Port)
		}
	}
	for _, i := range o.ingresses {
		for _, r := range i.Spec.Rules {
			to := r.HTTP.Paths[0].Backend.Service
			if to.Name != o.services[0].Name || to.Port.Name != o.services[0].Spec.Ports[0].Name {
				t.Errorf("the ingress leads to %s:%s", to.Name, to.Port.Name)
			}
		}
	}
	scales(t, o)
}

// scales checks that either the scaler or the Deployment says how many nodes there are.
func scales(t *testing.T, o objects) {
	t.Helper()
	d, _ := o.deployment(t)
	if (d.Spec.Replicas == nil) != (len(o.scalers) == 1) {
		t.Errorf("the Deployment has replicas %v, and there are %d scalers", d.Spec.Replicas, len(o.scalers))
	}
	for _, h := range o.scalers {
		if to := h.Spec.ScaleTargetRef; to.Kind != "Deployment" || to.Name != d.Name || to.APIVersion != "apps/v1" {
			t.Errorf("it scales %v", to)
		}
		m := h.Spec.Metrics
		if len(m) != 1 || m[0].Type != autoscaling.PodsMetricSourceType || m[0].Pods.Metric.Name != "fanfare_sessions" {
			t.Fatalf("it scales by %v", m)
		}
		if got := m[0].Pods.Target.AverageValue; got.Value() != 50000 {
			t.Errorf("it scales at %v sessions a node", got)
		}
	}
}

// answersLast is how long requests in flight may take after the drain: fanfare serve
// waits no longer.
const answersLast = 5 * time.Second

// hasTimeToDrain checks that a node is not killed while it drains, and that the next
// one goes only when this one has gone.
func hasTimeToDrain(t *testing.T, o objects) {
	t.Helper()
	d, c := o.deployment(t)
	drain := time.Duration(0)
	for line := range strings.Lines(o.settings[0].Data["fanfare.yaml"]) {
		if text, ok := strings.CutPrefix(line, "drain: "); ok {
			var err error
			if drain, err = time.ParseDuration(strings.TrimSpace(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if drain == 0 {
		t.Fatal("the settings do not say how long a drain takes")
	}
	if c.Lifecycle != nil {
		drain += time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	}
	grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	if grace <= drain+answersLast {
		t.Errorf("a node takes up to %v to end, and is killed after %v", drain+answersLast, grace)
	}
	if r := d.Spec.Strategy.RollingUpdate; r.MaxUnavailable.IntValue() != 0 {
		t.Errorf("old nodes go before new ones are ready: %v", r)
	}
}

func TestADeploymentMovesSessionsOnce(t *testing.T) {
	d, _ := new(decode(t, template(t, least+"drainSeconds: 30\n"))).deployment(t)
	if got := d.Spec.MinReadySeconds; got != 35 {
		t.Errorf("the next node goes after %d s, when the one before it still drains", got)
	}
}

// contains says whether labels have all of selector.
func contains(labels, selector map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// Each of these is refused, and it is said what to do.
func TestValuesThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ values, want string }{
		"no secret":              {"", "secret.name: name the Secret that holds"},
		"a misspelt value":       {least + "replcas: 3\n", "replcas"},
		"a secret in the open":   {least + "settings: { auth: { jwt: { secret: abc } } }\n", "auth.jwt.secret is a secret: put it into the Secret"},
		"a flat secret":          {least + "settings: { auth.api_keys: abc }\n", "auth.api_keys is a secret"},
		"any other secret":       {least + "settings: { auth: { callback: { secret: abc } } }\n", "auth.callback.secret is a secret"},
		"the chart's own":        {least + "settings: { listen: ':80' }\n", "listen is set by the chart"},
		"a drain past the grace": {least + "settings: { drain: 10m }\n", "drain is set by the chart (drain: with drainSeconds)"},
		"a bus twice":            {least + "settings: { transport: 'redis://r' }\n", "transport is also in secret.files"},
		"no time to drain":       {least + "drainSeconds: 0\n", "drainSeconds"},
		"a digest that is none":  {least + "image: { digest: latest }\n", "digest"},
		"memory in its own unit": {least + "goMemoryLimit: 900Mi\n", "goMemoryLimit"},
	} {
		out, err := helm(t, tt.values, "template", "fanfare", chart, "--kube-version", kubernetes)
		if out != "" || !strings.Contains(err, tt.want) {
			t.Errorf("%s: got %q, %q; want %q", name, out, err, tt.want)
		}
	}
	_, err := helm(t, least, "template", "fanfare", chart, "--kube-version", "1.29.3")
	if !strings.Contains(err, "kubeVersion") {
		t.Errorf("an old cluster: %q", err)
	}
}

// The values that docs/deploying.md shows are those of a chart that can be installed.
func TestTheValuesOnThePageAreGood(t *testing.T) {
	t.Parallel()
	_, section, _ := strings.Cut(read(t, "docs/deploying.md"), "\n## Kubernetes\n")
	_, block, found := strings.Cut(section, "```yaml\n")
	values, _, _ := strings.Cut(block, "```")
	if !found || !strings.HasPrefix(values, "secret:") {
		t.Fatalf("the page shows no values first: %q", values)
	}
	o := decode(t, template(t, values))
	n := materialize(t, o, nil)
	check := exec.Command(fanfareBinary, append([]string{"config", "check"}, n.args[1:]...)...)
	check.Env = n.env
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("a node would not start: %v\n%s", err, out)
	}
}

// The chart is released with the program, and has its version.
func TestTheChartHasTheVersionOfTheChangelog(t *testing.T) {
	found := regexp.MustCompile(`(?m)^(?:The next version is |## \[)(\d+\.\d+\.\d+)`).FindStringSubmatch(read(t, "CHANGELOG.md"))
	if found == nil {
		t.Fatal("CHANGELOG.md names no version")
	}
	text := read(t, "deploy/helm/fanfare/Chart.yaml")
	for _, line := range []string{"\nversion: " + found[1] + "\n", "\nappVersion: " + found[1] + "\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("Chart.yaml does not say%s", line)
		}
	}
}
