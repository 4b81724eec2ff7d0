//go:build race

package cluster

import "runtime"

// Under the race detector, tests that use a cluster run on one thread. All timers
// of a synctest bubble share one context of the detector (bubble.timers.raceCtx
// in runtime/time.go of Go 1.26). If two threads receive from expired timers at
// the same time, both write to it, and the detector crashes with a SIGSEGV. With
// one thread the detector still finds races, since it checks whether accesses are
// ordered, not whether they happened at the same time.
func init() { runtime.GOMAXPROCS(1) }
