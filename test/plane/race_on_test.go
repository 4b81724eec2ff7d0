//go:build race

package plane_test

import "runtime"

// One thread at a time: timers of a synctest bubble share one context of the race detector,
// and it crashes when two threads receive from expired timers at once; see test/sim.
func init() { runtime.GOMAXPROCS(1) }
