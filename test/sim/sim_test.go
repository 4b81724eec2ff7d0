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
	from  = flag.Uint64("from", 1, "begin with this seed")
	times = flag.Int("times", 1, "how often to run each seed: the scheduler has a say, too")
	trace = flag.Bool("tell", false, "tell with each fault all that the client was told")
	lossy = flag.Uint64("lossy", 3, "let every nth seed have a bus without a log; 0: none")
	seeds = flag.Int("seeds", someSeeds, "how many seeds to run")
)

// TestNothingIsMissedWithoutAGap runs worlds from seeds. A failing one is
// run again alone with: go test ./test/sim -seed N
func TestNothingIsMissedWithoutAGap(t *testing.T) {
	run(t, *seeds, func(s uint64) sim.Config { return sim.Config{Lossy: *lossy > 0 && s%max(1, *lossy) == 0} })
}

// TestNothingIsMissedNorToldForNothing wants more: where a bus without a log
// loses nothing, a client that is cut off and goes on on another node is told no
// gap.
func TestNothingIsMissedNorToldForNothing(t *testing.T) {
	moved := run(t, *seeds/10, func(uint64) sim.Config { return sim.Config{Lossy: true, Calm: true} })
	if moved == 0 && *seed == 0 {
		t.Error("nobody went on on another node")
	}
}

// movesEach: one world in so many moves, for that takes its time.
const movesEach = 20

// TestNothingIsMissedWhileTheBusMoves moves the bus as docs/moving.md says. In
// half of the worlds nothing but that and what clients do goes on, and nobody is
// told a gap.
func TestNothingIsMissedWhileTheBusMoves(t *testing.T) {
	run(t, *seeds/movesEach, func(s uint64) sim.Config { return sim.Config{Moves: true, Calm: s%2 == 0} })
}

// run runs worlds until one fails, and says how often a client went on on
// another node than before.
func run(t *testing.T, seeds int, world func(seed uint64) sim.Config) (moved int) {
	first, last := *from, uint64(seeds)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		cfg := world(s)
		cfg.Seed, cfg.Nodes, cfg.Clients, cfg.Messages, cfg.Trace = s, 2+int(s%2), 8, 200, *trace
		for range *times {
			t.Run(fmt.Sprint("seed ", s), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					got := sim.Run(cfg)
					complain(t, got.Faults)
					moved += got.Moved
				})
			})
			if t.Failed() {
				t.Fatal(replay(t.Name(), s, *lossy))
			}
		}
	}
	t.Log(moved, "times a client went on on another node")
	return moved
}

// replay says how to run one world alone: whether its bus has a log hangs on
// more than its seed.
func replay(test string, seed, lossy uint64) string {
	return fmt.Sprintf("replay it with: go test ./test/sim -run %s -seed %d -lossy %d -times 100 -tell", test, seed, lossy)
}

func TestReplayNamesAllThatMakesAWorld(t *testing.T) {
	const want = "replay it with: go test ./test/sim -run TestX -seed 7 -lossy 1 -times 100 -tell"
	if got := replay("TestX", 7, 1); got != want {
		t.Errorf("%s; want %s", got, want)
	}
}

func complain(t *testing.T, faults []string) {
	for i, f := range faults {
		if i == 10 && !*trace {
			t.Errorf("and %d more", len(faults)-i)
			break
		}
		t.Error(f)
	}
}
