// Package helm tests the chart of deploy/helm and the manifests of deploy/kubernetes with
// the real Helm. It is a module of its own, because Helm requires more modules than
// Fanfare does. No cluster is needed: what the chart makes is read as strictly as an API
// server reads it, and a node is started with it.
package helm_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// update says that the files that are made from others are written, and not compared.
var update = flag.Bool("update", false, "write the files that are made from the chart")

const (
	repository = "../../.."
	chart      = repository + "/deploy/helm/fanfare"

	// kubernetes is the version that Helm takes the cluster to be of: the oldest that
	// the chart is for.
	kubernetes = "1.30.0"
)

// The binaries under test and the one that tests.
var helmBinary, fanfareBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fanfare-helm-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	fanfareBinary = filepath.Join(dir, "fanfare")
	build := exec.Command("go", "build", "-o", fanfareBinary, "./cmd/fanfare")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("building fanfare: %v\n%s", err, out)
		return 1
	}
	// Unlike `go build`, this links Helm only if the cache does not have it.
	tool, err := exec.Command("go", "tool", "-n", "helm").Output()
	if err != nil {
		fmt.Printf("building Helm: %v\n%s", err, tool)
		return 1
	}
	helmBinary = strings.TrimSpace(string(tool))
	// Helm keeps its own files, of which it has none here, out of the home directory.
	for _, name := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		_ = os.Setenv(name, dir) // the name is good
	}
	return m.Run()
}

// helm runs Helm with values, a YAML document, and returns what it says.
func helm(t *testing.T, values string, args ...string) (out, err string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	var said, complaint strings.Builder
	cmd := exec.Command(helmBinary, append(args, "--values", file)...)
	cmd.Stdout, cmd.Stderr = &said, &complaint
	if cmd.Run() != nil && complaint.Len() == 0 {
		complaint.WriteString("failed\n" + said.String())
	}
	return said.String(), complaint.String()
}

// template renders the chart.
func template(t *testing.T, values string) string {
	t.Helper()
	out, err := helm(t, values, "template", "fanfare", chart, "--namespace", "push", "--kube-version", kubernetes)
	if err != "" {
		t.Fatalf("helm template: %s", err)
	}
	return out
}

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// same compares a file of the repository with what it has to be, or writes it with
// -update.
func same(t *testing.T, name, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join(repository, name), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if read(t, name) != want {
		t.Errorf("%s is not what it is made from: run `make manifests`", name)
	}
}
