package ws

// SeeFrames follows pieces of a client's bytes, and returns the close code that
// they are answered with, 0 for none, and how many frames were in order.
func SeeFrames(pieces ...[]byte) (code, count int) {
	f := frames{allow: func(bool) bool { count++; return true }}
	for _, p := range pieces {
		if b := f.see(p); b != nil {
			return b.code, count
		}
	}
	return 0, count
}
