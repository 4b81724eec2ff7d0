package broker

import "testing"

// skipIfShort skips a test that is about to start a broker when the tests run
// with -short, as `make check` runs them: it is for machines that have none.
func skipIfShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a broker: left out with -short; `make test` runs it")
	}
}
