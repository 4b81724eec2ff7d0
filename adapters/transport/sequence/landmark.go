package sequence

import (
	"encoding/binary"
	"hash/crc64"

	"github.com/fanfarebus/fanfare/domain"
)

// A surveyor makes the landmarks of a subscription's records, where all readers
// see one order. It belongs to the subscription's reader.
//
// A stamp alone would name a record, but not a place that a session can go on
// from elsewhere: this node may have lost something before it and not know yet,
// because no later number or mark has shown the hole. So a landmark is the stamp
// and the latest number of each publisher that was heard lately, condensed. What
// a node has missed unknowingly makes its landmarks differ from those of a node
// that has not.
//
// A record without a stamp is placed by its content, behind the one before it.
type surveyor struct {
	ordered bool // the bus has one order for all
	last    domain.Fingerprint
}

// lately is for how long a publisher that is not heard any more still counts. One
// that lives is heard every MarkMax; nodes need not agree about one that does
// not, but for the moment when one of them has dropped it and the other has not.
const lately = MarkMax + MarkMax/2

// stamped is the landmark of a record with a stamp; sum is that of the numbers
// heard, this one among them.
func (v *surveyor) stamped(s stamp, sum uint64) domain.Fingerprint {
	if v.ordered {
		v.last = domain.Fingerprint(max(1, s.digest()+sum))
	}
	return v.last
}

var crc = crc64.MakeTable(crc64.ECMA)

// foreign is the landmark of a record without a stamp, 0 if there was none
// before it.
func (v *surveyor) foreign(e *domain.Entry) domain.Fingerprint {
	if v.last == 0 {
		return 0
	}
	content := crc64.Update(crc64.Checksum([]byte(e.UUID), crc), crc, e.Body)
	for _, f := range e.Header { // in whichever order
		content += mix(crc64.Checksum([]byte(f.Name+"\x00"+f.Value), crc))
	}
	v.last = domain.Fingerprint(max(1, mix(mix(uint64(v.last))^content)))
	return v.last
}

// digest condenses what was heard of a publisher. That of a stamp is another.
func (s span) digest() uint64 { return mix(stamp{s.start, s.next}.digest()) }

func (s stamp) digest() uint64 {
	h := mix(binary.BigEndian.Uint64(s.start[:8]))
	h = mix(h ^ binary.BigEndian.Uint64(s.start[8:]))
	return mix(h ^ s.number)
}

// mix spreads a number's bits over all of the result's: the finalizer of
// SplitMix64. Sums of digests need it.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
