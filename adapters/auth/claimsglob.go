package auth

import (
	"fmt"
	"regexp"

	"github.com/fanfarebus/fanfare/domain"
)

var (
	systemGlob = regexp.MustCompile(`^[a-z0-9*][a-z0-9_*-]*$`)
	targetGlob = regexp.MustCompile(`^[a-z0-9*][a-z0-9_*-]*/.`)
	placeGlob  = regexp.MustCompile(`^[a-z0-9*][a-z0-9_*-]*/`)
)

// CheckGlobs refuses globs of a grant that match no possible system: a token with such
// a glob would grant less than it seems to. The error begins with the name of the claim.
func CheckGlobs(g domain.Grant) error {
	for _, list := range []struct {
		claim, example string
		globs          []string
		form           *regexp.Regexp
	}{
		{"systems", "orders or shop-*", g.Systems, systemGlob},
		{"rooms", "chat/*", g.Rooms, targetGlob},
		{"send", "chat/room:*", g.Send, targetGlob},
		{"presence", "chat/*", g.Presence, placeGlob},
	} {
		for _, glob := range list.globs {
			if !list.form.MatchString(glob) {
				return fmt.Errorf("%s: %q matches nothing: want such as %s, "+
					"with systems of a-z, 0-9, _ and -", list.claim, glob, list.example)
			}
		}
	}
	return nil
}
