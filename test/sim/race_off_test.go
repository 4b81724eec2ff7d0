//go:build !race

package sim_test

const (
	someSeeds = 300
	raceOn    = false
)
