// Package defaults fills in settings that were not given.
package defaults

import "cmp"

// Set gives *field the fallback if it is not more than its type's zero value:
// a number or duration that is zero or negative, or an empty string.
func Set[T cmp.Ordered](field *T, fallback T) {
	var zero T
	if *field <= zero {
		*field = fallback
	}
}
