//go:build race

package cluster

import "runtime"

// Under the race detector tests that use a cluster run on one thread. Timers of a
// synctest bubble share one context of the detector (bubble.timers.raceCtx in Go
// 1.26's runtime/time.go): two threads that receive from expired timers at once both
// write to it, and the detector crashes with a SIGSEGV. One thread finds races as well:
// the detector compares what is ordered, not what happened to coincide.
func init() { runtime.GOMAXPROCS(1) }
