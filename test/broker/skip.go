package broker

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

// skipIfShort skips a test that is about to start a broker when the tests run
// with -short, as `make check` runs them: it is for machines that have none.
func skipIfShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a broker: left out with -short; `make test` runs it")
	}
}

// skipIfUnwanted skips a test whose broker is not installed where the tools are
// not wanted: `TOOLS=no make test` names what that leaves out. Anywhere else a
// missing broker is a failure, so that nobody takes silence for a pass.
func skipIfUnwanted(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("TOOLS") == "no" {
		t.Skipf("left out by TOOLS=no: %v", err)
	}
}
