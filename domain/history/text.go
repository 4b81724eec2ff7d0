package history

import "unsafe"

// text returns the bytes as a string without copying them. This is the one place
// where strings share memory with chunks. It is sound as the bytes of a chunk
// that stand for texts are written once, before anybody reads them, and the
// chunk is never used for anything else.
//
// Such a string keeps its whole chunk in memory, which no account shows: who
// keeps it for longer than a call has to clone it.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
