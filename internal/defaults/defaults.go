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

// SetZero gives *field the fallback only if it is its type's zero value. It is for
// settings of which a negative value is a mistake to be reported.
func SetZero[T comparable](field *T, fallback T) {
	var zero T
	if *field == zero {
		*field = fallback
	}
}
