package helm_test

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// objects are what a rendering has, of each kind that the chart knows.
type objects struct {
	settings, dashboards []*core.ConfigMap
	deployments          []*apps.Deployment
	services             []*core.Service
	tests                []*core.Pod
	budgets              []*policy.PodDisruptionBudget
	scalers              []*autoscaling.HorizontalPodAutoscaler
	policies             []*networking.NetworkPolicy
	ingresses            []*networking.Ingress
	monitors             []*monitoring.ServiceMonitor
	alerts               []*monitoring.PrometheusRule
}

// decode reads a rendering as an API server does that validates strictly: a field that
// is unknown, of another type, or there twice is a fault.
func decode(t *testing.T, text string) (o objects) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		apps.AddToScheme, autoscaling.AddToScheme, core.AddToScheme, networking.AddToScheme,
		policy.AddToScheme, monitoring.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return o
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(withoutComments(string(document))) == "" {
			continue
		}
		object, _, err := strict.Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		o.add(t, object)
	}
}

func (o *objects) add(t *testing.T, object runtime.Object) {
	t.Helper()
	switch x := object.(type) {
	case *core.ConfigMap:
		if x.Labels["grafana_dashboard"] != "" {
			o.dashboards = append(o.dashboards, x)
			return
		}
		o.settings = append(o.settings, x)
	case *apps.Deployment:
		o.deployments = append(o.deployments, x)
	case *core.Service:
		o.services = append(o.services, x)
	case *core.Pod:
		o.tests = append(o.tests, x)
	case *policy.PodDisruptionBudget:
		o.budgets = append(o.budgets, x)
	case *autoscaling.HorizontalPodAutoscaler:
		o.scalers = append(o.scalers, x)
	case *networking.NetworkPolicy:
		o.policies = append(o.policies, x)
	case *networking.Ingress:
		o.ingresses = append(o.ingresses, x)
	case *monitoring.ServiceMonitor:
		o.monitors = append(o.monitors, x)
	case *monitoring.PrometheusRule:
		o.alerts = append(o.alerts, x)
	default:
		t.Fatalf("the chart makes a %T, which the tests do not know", object)
	}
}

// withoutComments removes the lines that are comments, and those between documents.
func withoutComments(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if trimmed := strings.TrimSpace(line); !strings.HasPrefix(trimmed, "#") && trimmed != "---" {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// deployment returns the one Deployment, and its one container.
func (o *objects) deployment(t *testing.T) (*apps.Deployment, core.Container) {
	t.Helper()
	if len(o.deployments) != 1 || len(o.settings) != 1 {
		t.Fatalf("%d Deployments with %d ConfigMaps: want one of each", len(o.deployments), len(o.settings))
	}
	containers := o.deployments[0].Spec.Template.Spec.Containers
	if len(containers) != 1 {
		t.Fatalf("%d containers: want 1", len(containers))
	}
	return o.deployments[0], containers[0]
}
