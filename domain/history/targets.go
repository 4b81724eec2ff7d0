package history

import (
	"encoding/binary"

	"github.com/fanfarebus/fanfare/domain"
)

// The targets of a message are encoded as their number and, for each, its links
// and a text. Where there are more than fewTargets, a table that finds them
// stands before them, and its and their length before that:
//
//	number   varint
//	length   4 bytes, of what follows
//	table    of 4 bytes each, a power of two of them: by hash, where the target is, from the table on; 0 is empty
//	targets
type targets struct{ reader } // at its number

// fewTargets are found by looking at each.
const fewTargets = 8

// A key is a target by which an index and the targets of messages are searched.
type key struct {
	name string
	hash uint64 // not 0
}

// tableSize is how long the table for so many targets is, in bytes.
func tableSize(count int) int {
	if count <= fewTargets {
		return 0
	}
	slots := 2 * fewTargets
	for slots < 2*count {
		slots *= 2
	}
	return 4 * slots
}

// appendTargets appends targets whose links are 0.
func appendTargets(b []byte, to []domain.Target, x *index) []byte {
	b = binary.AppendUvarint(b, uint64(len(to)))
	size := tableSize(len(to))
	if size == 0 {
		return appendEach(b, to)
	}
	start := len(b) + 4
	b = append(b, make([]byte, 4+size)...)
	b = appendEach(b, to)
	all := b[start:]
	binary.LittleEndian.PutUint32(b[start-4:], uint32(len(all)))
	each := reader{all, size}
	for range to {
		place := each.at
		name, _ := each.target()
		if slot, known := search(all, size, x.key(name)); known == 0 {
			binary.LittleEndian.PutUint32(all[slot:], uint32(place))
		}
	}
	return b
}

func appendEach(b []byte, to []domain.Target) []byte {
	var none [linksSize]byte
	for _, t := range to {
		b = append(b, none[:]...)
		b = appendText(b, t.String())
	}
	return b
}

// search looks a target up in the table of so many bytes with which all begins.
// It returns the slot of the target and where the target is, or an empty slot
// that it may have, and 0.
func search(all []byte, size int, k key) (slot, place int) {
	for slot = int(k.hash) * 4 & (size - 1); ; slot = (slot + 4) & (size - 1) {
		place = int(binary.LittleEndian.Uint32(all[slot:]))
		if place == 0 {
			return slot, 0
		}
		r := reader{all, place}
		if name, _ := r.target(); name == k.name {
			return slot, place
		}
	}
}

// skipTargets reads past the targets of a message.
func (r *reader) skipTargets() {
	count := int(r.uvarint())
	if count > fewTargets {
		size := int(r.uint32())
		r.at += size
		return
	}
	for range count {
		r.at += linksSize
		r.skipText()
	}
}

// each returns the number of targets, and the reader from which as many can be
// read.
func (t targets) each() (count int, r reader) {
	r = t.reader
	count = int(r.uvarint())
	if size := tableSize(count); size > 0 {
		r.at += 4 + size
	}
	return count, r
}

// find returns the links of a target, and where in the entry they are: the lower
// that is, the earlier is the target. Of targets that are there twice, it finds
// the first.
func (t targets) find(target string, x *index) (l links, place int, found bool) {
	count, each := t.each()
	if count > fewTargets {
		size := tableSize(count)
		start := each.at - size
		if _, place = search(each.data[start:], size, x.key(target)); place == 0 {
			return nil, 0, false
		}
		place += start
		return links(each.data[place : place+linksSize]), place, true
	}
	for range count {
		place = each.at
		if name, l := each.target(); name == target {
			return l, place, true
		}
	}
	return nil, 0, false
}

// target reads one target and its links.
func (r *reader) target() (name string, l links) {
	l = links(r.data[r.at : r.at+linksSize])
	r.at += linksSize
	return r.text(), l
}
