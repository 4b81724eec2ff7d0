package control

import (
	"math/rand/v2"
	"testing"
)

func TestIndexFindsWhatIsInIt(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, spread := range []uint64{1 << 62, 3, 1} { // with 1, all hashes are the same
		hash := func(id uint32) uint64 { return mix(uint64(id)) % spread * (1<<64/4 - 1) }
		var x index
		in := map[uint32]bool{}
		for step := range 4000 {
			id := random.Uint32N(300)
			switch grow := step/1000%2 == 0; {
			case in[id] && (!grow || random.IntN(3) == 0):
				x.remove(id, hash)
				delete(in, id)
			case !in[id] && (grow || random.IntN(3) == 0):
				x.add(id, hash)
				in[id] = true
			}
			id = random.Uint32N(300)
			got, ok := x.find(hash(id), func(other uint32) bool { return other == id })
			if ok != in[id] || ok && got != id || x.used != len(in) {
				t.Fatalf("step %d: find %d: %v, want %v; %d used", step, id, ok, in[id], x.used)
			}
		}
	}
}

func TestIndexGivesMemoryBack(t *testing.T) {
	var x index
	hash := func(id uint32) uint64 { return mix(uint64(id)) }
	for id := range uint32(100_000) {
		x.add(id, hash)
	}
	if load := float64(x.used) / float64(len(x.slots)); load < 0.37 || load > 0.76 {
		t.Errorf("%.2f of the slots are used", load)
	}
	for id := range uint32(100_000) {
		x.remove(id, hash)
	}
	if len(x.slots) > 2*minSlots {
		t.Errorf("%d slots remain", len(x.slots))
	}
}

func TestSlabGivesNumbersAgain(t *testing.T) {
	var s slab[int]
	for i := range 3 * chunk {
		s.add(i)
	}
	p := s.at(7)
	s.remove(8, -1)
	if id := s.add(5); id != 8 || *s.at(8) != 5 || s.at(7) != p {
		t.Errorf("number %d is given", id)
	}
	for i := range uint32(3 * chunk) {
		s.remove(i, 0)
	}
	if s.end != 0 || s.chunks != nil || s.free != nil {
		t.Error("an empty slab keeps memory")
	}
}
