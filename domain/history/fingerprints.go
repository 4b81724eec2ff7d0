package history

// Fingerprints find the points in a window that other nodes know, too, on a
// bus without a log. They are kept in their order and never outlast the
// window. The value of a note is the number of the first entry after the point.
type fingerprints struct{ notes }

// add remembers a fingerprint; next is the number of the first entry after it.
func (f *fingerprints) add(value, next uint64) { f.notes.add(value, next, 0) }

// after returns the number of the first entry after the fingerprint, if all
// entries from there on are in a window that begins with entry start.
func (f *fingerprints) after(value, start uint64) (next uint64, ok bool) {
	n, found := f.newest(value)
	if !found {
		return 0, false
	}
	next = f.at(n).value
	return next, next >= start
}

// trim forgets those after which the window no longer continues, and all but
// the newest most.
func (f *fingerprints) trim(start uint64, most int) {
	for f.len() > 0 && (f.oldest().value < start || f.len() > most) {
		f.forget()
	}
}
