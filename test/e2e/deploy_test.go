package e2e_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The nodes of deploy/compose.yaml would start with the settings that they are
// given there, and nginx knows each of them.
func TestComposeGivesGoodSettings(t *testing.T) {
	text, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Environment map[string]string
			Build       struct{ Context, Dockerfile string }
			Volumes     []string
		}
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	nginx := compose.Services["nginx"]
	if len(nginx.Volumes) != 1 || !strings.HasPrefix(nginx.Volumes[0], "./nginx/fanfare.conf.template:/etc/nginx/templates/") {
		t.Errorf("nginx is not given the template: %v", nginx.Volumes)
	}
	filled := strings.NewReplacer(
		"FANFARE_AUTH_JWT_SECRET", strings.Repeat("s", 32),
		"FANFARE_AUTH_API_KEYS", "shop:publish/orders:"+strings.Repeat("0", 64),
	)
	var listed []string
	for name, service := range compose.Services {
		if service.Build.Dockerfile == "" {
			continue
		}
		node := make(settings)
		for variable, value := range service.Environment {
			node[strings.TrimPrefix(variable, "FANFARE_")] = substitute(value, filled)
		}
		check := exec.Command(fanfareBinary, "config", "check")
		check.Env = environ(node)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if node["NODE"] != name {
			t.Errorf("%s is called %q", name, node["NODE"])
		}
		if server := "server " + name + ":8080 max_fails=0;"; strings.Contains(nginx.Environment["PROXY_NODES"], server) {
			listed = append(listed, server)
		}
	}
	if len(listed) != 3 || strings.Count(nginx.Environment["PROXY_NODES"], "server") != 3 {
		t.Errorf("of nginx's nodes %q exist %q", nginx.Environment["PROXY_NODES"], listed)
	}
	if _, err := os.Stat("../../deploy/env.example"); err != nil {
		t.Error(err)
	}
}

var reference = regexp.MustCompile(`\$\{(\w+):[-?]([^}]*)\}`)

// substitute replaces ${NAME:-default} and ${NAME:?hint} as compose does.
func substitute(value string, filled *strings.Replacer) string {
	return reference.ReplaceAllStringFunc(value, func(ref string) string {
		parts := reference.FindStringSubmatch(ref)
		if given := filled.Replace(parts[1]); given != parts[1] {
			return given
		}
		return parts[2]
	})
}
