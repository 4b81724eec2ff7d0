package history

// What parts of a history take of the heap, in bytes.
const (
	wordSize = 8
	// MapSlot is what an element of a map takes beside a key and value of two
	// words or three: a map is from a half to seven eighths full.
	MapSlot = 16
)

// Shrunk returns the map, or a copy with less room if the map holds less than
// a quarter of what it held at its peak, which Shrunk keeps up to date: a Go
// map keeps the room that it once had.
func Shrunk[K comparable, V any](m map[K]V, peak *int) map[K]V {
	*peak = max(*peak, len(m))
	if *peak < 256 || 4*len(m) > *peak {
		return m
	}
	smaller := make(map[K]V, len(m))
	for k, v := range m {
		smaller[k] = v
	}
	*peak = len(m)
	return smaller
}
