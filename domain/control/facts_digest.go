package control

// bucketCount is in how many parts facts are compared when nodes find that theirs
// differ.
const bucketCount = 256

// count puts a fact into the digests, or takes it out. Ends are not in the digests:
// nodes know them as well as their clocks agree.
func (t *facts) count(f *fact, in bool) {
	if f.counted == in {
		return
	}
	f.counted = in
	if in {
		t.digest.n++
	} else {
		t.digest.n--
	}
	t.digest.sum ^= f.hash
	t.buckets[f.bucket()] ^= f.hash
}

func (f *fact) bucket() int { return int(f.keyHash % bucketCount) }

// differing returns which buckets have another digest here than there.
func (t *facts) differing(there *[bucketCount]uint64) (which [bucketCount]bool, any bool) {
	for i := range which {
		which[i] = t.buckets[i] != there[i]
		any = any || which[i]
	}
	return which, any
}

// hashKey and hashVersion are the same on all nodes, and made as the hash of a row is.
func hashKey(k Key) uint64 {
	h := hashName(fnvStart, string(k.Kind))
	h = hashName(h, k.System)
	h = hashName(h, k.Room)
	return mix(hashName(h, k.Name))
}

func hashVersion(key uint64, v version) uint64 {
	h := hashNumber(key, uint64(v.ms))
	h = hashNumber(h, uint64(v.counter))
	return mix(hashName(h, v.inc))
}

func hashNumber(h, n uint64) uint64 {
	for range 8 {
		h = (h ^ n&0xff) * fnvPrime
		n >>= 8
	}
	return h
}
