package clients_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

const jsDir = "../../clients/js"

// bundle makes one file of a driver in clients/js and the client as it is now.
func bundle(t *testing.T, entry, platform string) string {
	t.Helper()
	esbuild, err := filepath.Abs(jsDir + "/node_modules/.bin/esbuild")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath(esbuild); err != nil {
		t.Skip("the packages of clients/js are not installed: run `make tools`")
	}
	name := ".build/" + platform + "-driver.mjs" // below node_modules' parent, so that it finds ws
	build := exec.Command(esbuild, "test/driver/"+entry, "--bundle", "--format=esm", "--target=es2022",
		"--platform="+platform, "--external:ws", "--log-level=error", "--outfile="+name)
	build.Dir = jsDir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building a driver of clients/js: %v\n%s", err, out)
	}
	file, err := filepath.Abs(filepath.Join(jsDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestJavaScriptInNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: run `make tools`")
	}
	play(t, program(t, []string{"WEBSOCKET=ws"}, node, bundle(t, "node.ts", "node")))
}

// Node 22 has a WebSocket of its own, which the client uses.
func TestJavaScriptInNode22(t *testing.T) {
	skipIfShort(t)
	found, err := filepath.Glob("node22/node_modules/node-linux-*/bin/node")
	if err != nil || len(found) != 1 {
		t.Skip("node 22 is not installed: run `make tools`")
	}
	node, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	play(t, program(t, nil, node, bundle(t, "node.ts", "node")))
}
