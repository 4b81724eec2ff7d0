package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// fanfareBinary is the path of the binary under test.
var fanfareBinary string

func TestMain(m *testing.M) {
	if arg := os.Getenv(receiptClient); arg != "" {
		runReceiptClient(arg)
		return
	}
	flag.Parse()
	if testing.Short() {
		fmt.Println("end-to-end tests take their time: not in short mode")
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fanfare-e2e-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	fanfareBinary = filepath.Join(dir, "fanfare")
	args := []string{"build", "-o", fanfareBinary}
	if raceDetector {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "github.com/fanfarebus/fanfare/cmd/fanfare")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("building fanfare: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// eventually polls until check finds no fault, and fails the test with the
// last one when the time is over.
func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	over := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
	}
}

// needs skips the test if a program is not installed, and returns its path.
func needs(t *testing.T, program string) string {
	t.Helper()
	for _, path := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("%s is not installed: run `make tools`", program)
	return ""
}

// needsPython skips the test if there is no interpreter with the modules that
// the programs in testdata use, and returns its path.
func needsPython(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import redis, websockets").Run() == nil {
			return python
		}
	}
	t.Skip("no python3 has the modules redis and websockets: run `make tools`")
	return ""
}
