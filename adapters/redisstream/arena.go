package redisstream

import (
	"bytes"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// arenaChunk is the largest allocation that entries share, in bytes. It bounds how
// much memory somebody keeps alive who keeps a part of one entry.
const arenaChunk = 32 << 10

// An arena makes the parts of entries out of few allocations. The parts do not
// overlap, and a body has no room to grow into the next one. The zero arena is ready
// to use; it must not be copied once it is in use.
type arena struct {
	expected int // how many entries are still to come; it decides how much to allocate
	texts    strings.Builder
	bodies   []byte
	fields   []domain.Field
}

// text returns a copy of v.
func (a *arena) text(v []byte) string {
	if len(v) > a.texts.Cap()-a.texts.Len() {
		a.texts.Reset() // what was returned before keeps its memory
		a.texts.Grow(max(64, a.chunk(len(v), 1)))
	}
	start := a.texts.Len()
	a.texts.Write(v) // never fails
	return a.texts.String()[start:]
}

// body returns a copy of v, nil for nil.
func (a *arena) body(v []byte) []byte {
	if len(v) == 0 {
		return bytes.Clone(v)
	}
	if len(v) > cap(a.bodies)-len(a.bodies) {
		a.bodies = make([]byte, 0, a.chunk(len(v), 1))
	}
	start := len(a.bodies)
	a.bodies = append(a.bodies, v...)
	return a.bodies[start:len(a.bodies):len(a.bodies)]
}

// header returns an empty header with room for n fields, nil for 0.
func (a *arena) header(n int) []domain.Field {
	const fieldSize = 32
	if n == 0 {
		return nil
	}
	if n > len(a.fields) {
		a.fields = make([]domain.Field, a.chunk(n, fieldSize))
	}
	header := a.fields[:0:n]
	a.fields = a.fields[n:]
	return header
}

// chunk returns how many elements to allocate where an entry needs n, if the entries
// still to come need as many. An element has size bytes.
func (a *arena) chunk(n, size int) int {
	return max(n, min(n*a.expected, arenaChunk/size))
}
