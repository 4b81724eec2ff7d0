package sim_test

import (
	"fmt"
	"testing"

	"github.com/fanfarebus/fanfare/test/sim"
)

// TestNodesAgree runs worlds of control planes from seeds. Nodes crash, stop and are cut
// off, clocks step, messages are lost, repeated and late; in the end all nodes know the
// same, and it is true. A failing world is run again alone with: go test ./test/sim -run
// TestNodesAgree -seed N -tell
func TestNodesAgree(t *testing.T) {
	runControl(t, *seeds, sim.ControlConfig{})
}

// TestNobodyIsDeclaredDead runs worlds in which nothing happens to nodes, but the bus goes
// down and clocks step.
func TestNobodyIsDeclaredDead(t *testing.T) {
	runControl(t, *seeds/5, sim.ControlConfig{Peaceful: true})
}

func runControl(t *testing.T, seeds int, cfg sim.ControlConfig) {
	first, last := *from, uint64(seeds)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	commands := 0
	for s := first; s <= last; s++ {
		cfg := cfg
		cfg.Seed, cfg.Nodes, cfg.Log, cfg.Trace = s, 2+int(s%3), s%2 == 0, *trace
		t.Run(fmt.Sprint("seed ", s), func(t *testing.T) {
			faults, completed := sim.RunControl(cfg)
			complain(t, faults)
			commands += completed
		})
		if t.Failed() {
			t.Fatalf("replay it with: go test ./test/sim -run %s -seed %d -tell", t.Name(), s)
		}
	}
	if t.Log(commands, "commands were applied everywhere"); commands == 0 {
		t.Error("no command was ever applied everywhere")
	}
}
