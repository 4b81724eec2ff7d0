package sequence

import (
	"encoding/binary"
	"hash/crc64"

	"github.com/fanfarebus/fanfare/domain"
)

// A fingerprinter makes the fingerprints of what one subscription reads, on a bus
// where all readers see one order.
//
// A number alone would identify a record, but not a point from which a session
// can go on on another node. This node may have lost something before the record
// and not know it yet, because no later number or high-water mark has shown that. So a
// fingerprint condenses the record's number together with the latest number of
// each publisher that was heard recently. What a node has missed without knowing
// makes its fingerprints differ from those of a node that has not.
//
// A record without a number is identified by its content, and by the fingerprint
// before it.
type fingerprinter struct {
	ordered bool               // the bus has one order for all; else there are no fingerprints
	last    domain.Fingerprint // 0 if there is none, as after a gap
}

// recentFor is for how long a publisher that is not heard any more counts in
// fingerprints. One that lives is heard at least every HighWaterMarkMax. Nodes do not have
// to agree about one that does not: they differ only for the moment when one node
// has dropped it and the other one has not.
const recentFor = HighWaterMarkMax + HighWaterMarkMax/2

// ofNumbered is the fingerprint of a record with a number. recentDigest is the
// tracker's, with this number in it.
func (f *fingerprinter) ofNumbered(n number, recentDigest uint64) domain.Fingerprint {
	if f.ordered {
		f.last = domain.Fingerprint(max(1, n.digest()+recentDigest))
	}
	return f.last
}

var crc = crc64.MakeTable(crc64.ECMA)

// ofUnnumbered is the fingerprint of a record without a number; it is 0 if there
// is no fingerprint before it.
func (f *fingerprinter) ofUnnumbered(e *domain.Entry) domain.Fingerprint {
	if f.last == 0 {
		return 0
	}
	content := crc64.Update(crc64.Checksum([]byte(e.UUID), crc), crc, e.Body)
	for _, field := range e.Header { // a sum: their order does not count
		content += mix(crc64.Checksum([]byte(field.Name+"\x00"+field.Value), crc))
	}
	f.last = domain.Fingerprint(max(1, mix(mix(uint64(f.last))^content)))
	return f.last
}

// digest condenses what was heard of a publisher. It differs from the digest of a
// number.
func (p *publisher) digest() uint64 { return mix(number{p.id, p.next}.digest()) }

func (n number) digest() uint64 {
	h := mix(binary.BigEndian.Uint64(n.publisher[:8]))
	h = mix(h ^ binary.BigEndian.Uint64(n.publisher[8:]))
	return mix(h ^ n.n)
}

// mix spreads the bits of x over all bits of the result, so that digests can be
// added up. It is the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast
// splittable pseudorandom number generators", 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
