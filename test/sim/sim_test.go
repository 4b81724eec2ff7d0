package sim_test

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/fanfarebus/fanfare/test/sim"
)

var (
	seed  = flag.Uint64("seed", 0, "run this seed alone")
	times = flag.Int("times", 1, "how often to run each seed: the scheduler has a say, too")
	trace = flag.Bool("trace", false, "tell with each fault all that the client was told")
	lossy = flag.Bool("lossy", true, "let every third seed have a bus without a log")
	seeds = flag.Int("seeds", someSeeds, "how many seeds to run")
)

// TestNothingIsMissedWithoutAGap runs worlds from seeds. A failing one is
// run again alone with: go test ./test/sim -seed N
func TestNothingIsMissedWithoutAGap(t *testing.T) {
	first, last := uint64(1), uint64(*seeds)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		for range *times {
			t.Run(fmt.Sprint("seed ", s), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					faults := sim.Run(sim.Config{Seed: s, Nodes: 2 + int(s%2), Clients: 8, Messages: 200, Lossy: *lossy && s%3 == 0, Trace: *trace})
					for i, f := range faults {
						if i == 10 && !*trace {
							t.Errorf("and %d more", len(faults)-i)
							break
						}
						t.Error(f)
					}
				})
			})
			if t.Failed() {
				t.Fatalf("replay it with: go test ./test/sim -seed %d -times 100 -trace", s)
			}
		}
	}
}
