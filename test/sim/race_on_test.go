//go:build race

package sim_test

import "runtime"

// Under the race detector a world takes ten times as long.
const (
	someSeeds = 40
	raceOn    = true
)

// One thread at a time: timers of a synctest bubble share one context of the race
// detector (bubble.timers.raceCtx in Go 1.26's runtime/time.go). When two threads
// receive from expired timers at once, both write to it, and the detector crashes
// or reports nonsense. Races are found as well by one: the detector compares what is
// ordered, not what happened to coincide.
func init() { runtime.GOMAXPROCS(1) }
