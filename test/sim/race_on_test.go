//go:build race

package sim_test

// Under the race detector a world takes ten times as long.
const (
	someSeeds = 40
	raceOn    = true
)
