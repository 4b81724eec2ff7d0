// Package clients plays the script of package clientkit with every client: those in this
// repository, and any other whose driver the variable DRIVER names. It has tests only.
package clients_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/clientkit"
)

// TestMain lets many scenarios run at once: most of the time they wait for a client that
// waits before it comes back.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == flag.Lookup("test.parallel").DefValue {
		_ = flag.Set("test.parallel", "28")
	}
	os.Exit(m.Run())
}

func TestYours(t *testing.T) {
	driver := os.Getenv("DRIVER")
	if driver == "" {
		t.Skip("DRIVER names no driver of a client: docs/clients.md says what that is")
	}
	play(t, program(t, nil, "sh", "-c", "cd ../.. && exec "+driver)) // as from the repository's root
}

// An opener starts a driver of a client.
type opener func(context.Context) (io.ReadWriteCloser, error)

// play plays all scenarios with a client.
func play(t *testing.T, open opener) {
	t.Helper()
	t.Parallel()
	c := clientkit.NewClient(open)
	t.Cleanup(c.Close) // after all scenarios
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	can, err := c.Can(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range clientkit.Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			for _, need := range s.Needs {
				if !can[need] {
					t.Skipf("the client cannot do this: %s", need)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := s.Run(ctx, c); err != nil {
				t.Error(err)
			}
		})
	}
}

// skipIfShort skips what needs more than Go when the tests run with -short.
func skipIfShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it needs more than Go: left out with -short; `make test` runs it")
	}
}

// program is a client whose driver is a program. Its variables of the environment are
// those of the test and more.
func program(t *testing.T, more []string, command ...string) opener {
	t.Helper()
	skipIfShort(t)
	return func(context.Context) (io.ReadWriteCloser, error) {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = slices.Concat(os.Environ(), more)
		cmd.Stderr = t.Output()
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, fmt.Errorf("%s: %w", command[0], err)
		}
		return &running{Reader: out, WriteCloser: in, cmd: cmd}, nil
	}
}

// running is a driver that is a process.
type running struct {
	io.Reader
	io.WriteCloser
	cmd *exec.Cmd
}

// Close ends the process: a driver ends with its standard input, and is killed if it
// does not.
func (r *running) Close() error {
	_ = r.WriteCloser.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = r.cmd.Process.Kill() })
	defer kill.Stop()
	_ = r.cmd.Wait() // how a driver ends does not matter
	return nil
}
