package control

import (
	"fmt"
	"testing"
)

func TestOnlySoManyOfTheDeadAreRemembered(t *testing.T) {
	n := newNodes(5)
	for i := range 3 * maxDead {
		n.bury(fmt.Sprint(i), 7)
		n.bury(fmt.Sprint(i), 3)
	}
	if len(n.dead) != maxDead || len(n.ring) != maxDead || n.dead[fmt.Sprint(3*maxDead-1)] != 7 {
		t.Errorf("%d of them, in a list of %d", len(n.dead), len(n.ring))
	}
}
