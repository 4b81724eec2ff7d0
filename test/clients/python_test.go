package clients_test

import (
	"archive/zip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const pythonDir = "../../clients/python"

// systemPython is an interpreter with the websockets that the distribution has, which is
// the oldest that the client supports.
func systemPython(t *testing.T) string {
	t.Helper()
	skipIfShort(t)
	for _, interpreter := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(interpreter, "-c", "import websockets").Run() == nil {
			return interpreter
		}
	}
	t.Skip("no python3 has the module websockets: run `make tools`")
	return ""
}

// venvPython is an interpreter with a recent websockets, and what checks types and builds
// packages.
func venvPython(t *testing.T) string {
	t.Helper()
	skipIfShort(t)
	interpreter, err := filepath.Abs("../../.cache/python/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if exec.Command(interpreter, "-c", "import websockets.asyncio, mypy, hatchling").Run() != nil {
		t.Skip(".cache/python has not what tests/requirements.txt names: run `make tools`")
	}
	return interpreter
}

func TestPython(t *testing.T)                     { playPython(t, systemPython(t)) }
func TestPythonWithRecentWebsockets(t *testing.T) { playPython(t, venvPython(t)) }

func playPython(t *testing.T, interpreter string) {
	t.Helper()
	play(t, program(t, []string{pythonPath(t)}, interpreter, pythonDir+"/tests/driver.py"))
}

// pythonPath is the variable with which an interpreter finds the client as it is now.
func pythonPath(t *testing.T) string {
	t.Helper()
	source, err := filepath.Abs(pythonDir + "/src")
	if err != nil {
		t.Fatal(err)
	}
	return "PYTHONPATH=" + source
}

// run runs a command in the folder of the client in Python, and shows what it says if it
// fails.
func runPython(t *testing.T, command ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Env = pythonDir, append(cmd.Environ(), pythonPath(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}

func TestPythonsOwnTests(t *testing.T) {
	for name, interpreter := range map[string]func(*testing.T) string{"distribution": systemPython, "recent": venvPython} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runPython(t, interpreter(t), "-m", "unittest", "discover", "-s", "tests")
		})
	}
}

func TestPythonsTypes(t *testing.T) {
	t.Parallel()
	runPython(t, venvPython(t), "-m", "mypy", "--cache-dir", "../../.cache/mypy", "src")
}

// A package is built as for a registry, and has what users need.
func TestPythonsPackage(t *testing.T) {
	t.Parallel()
	python, dir := venvPython(t), t.TempDir()
	runPython(t, python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", dir, ".")
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		t.Fatalf("wheels: %v %v", wheels, err)
	}
	wheel, err := zip.OpenReader(wheels[0])
	if err != nil {
		t.Fatal(err)
	}
	defer wheel.Close()
	var names []string
	for _, f := range wheel.File {
		names = append(names, f.Name)
		if strings.Contains(f.Name, "test") {
			t.Errorf("the package holds %s", f.Name)
		}
	}
	for _, want := range []string{"fanfare_client/__init__.py", "fanfare_client/client.py", "fanfare_client/py.typed"} {
		if !slices.Contains(names, want) {
			t.Errorf("the package lacks %s; it has %v", want, names)
		}
	}
}
