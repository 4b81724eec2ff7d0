// Package editdistance measures how different two names are, for messages that
// ask "did you mean …?".
package editdistance

// Of returns how many bytes have to be inserted, removed or replaced to turn a
// into b: their Levenshtein distance. The time grows with the product of the
// lengths, so callers bound names that come from outside.
func Of(a, b string) int {
	row := make([]int, len(b)+1) // the distances of a[:i] to each b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
