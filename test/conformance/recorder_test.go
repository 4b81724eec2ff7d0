package conformance_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A recorder stands in for a test. It records failures without failing the real
// test. It is safe for concurrent use, as a testing.TB is.
type recorder struct {
	testing.TB // the real test, for what is not recorded

	mu       sync.Mutex
	faults   []string
	skips    []string
	cleanups []func()
}

// record runs test under a recorder, in a goroutine that a fatal failure ends. It
// returns when the test and its clean-ups have ended.
func record(t testing.TB, test func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.cleanUp()
		test(r)
	}()
	<-done
	return r
}

func (r *recorder) cleanUp() {
	r.mu.Lock()
	all := r.cleanups
	r.mu.Unlock()
	for i := len(all) - 1; i >= 0; i-- {
		all[i]()
	}
}

func (r *recorder) fault(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, text)
}

// String returns all recorded failures.
func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.faults, "\n")
}

func (r *recorder) Error(args ...any)                 { r.fault(fmt.Sprintln(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.fault(fmt.Sprintf(format, args...)) }
func (r *recorder) Fatal(args ...any)                 { r.Error(args...); runtime.Goexit() }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recorder) Fail()                             { r.fault("failed") }
func (r *recorder) FailNow()                          { r.Fail(); runtime.Goexit() }
func (r *recorder) Failed() bool                      { return r.String() != "" }

func (r *recorder) Skipf(format string, args ...any) {
	r.mu.Lock()
	r.skips = append(r.skips, fmt.Sprintf(format, args...))
	r.mu.Unlock()
	runtime.Goexit()
}
func (r *recorder) Skip(args ...any) { r.Skipf("%s", fmt.Sprint(args...)) }
func (r *recorder) SkipNow()         { r.Skipf("skipped") }
func (r *recorder) Skipped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.skips) > 0
}

func (r *recorder) Helper()                  {}
func (r *recorder) Log(...any)               {}
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Context() context.Context { return context.Background() }
func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}
