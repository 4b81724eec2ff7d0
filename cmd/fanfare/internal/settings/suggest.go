package settings

import (
	"fmt"

	"github.com/fanfarebus/fanfare/internal/editdistance"
)

// Suggest returns ": did you mean NAME?" for the name that is nearest, or ""
// if none is near.
func Suggest(given string, names []string) string {
	best, least := "", max(3, len(given)/3)
	for _, name := range names {
		if d := distance(given, name); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %s?", best)
}

// distance is the edit distance of two names. Long names are cut, since they
// come from outside.
func distance(a, b string) int {
	return editdistance.Of(a[:min(len(a), 64)], b[:min(len(b), 64)])
}
