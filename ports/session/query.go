package session

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// repeated are the parameters that may come more than once; what is asked for
// is all of them together.
var repeated = []string{"systems", "rooms", "room", "resume"}

// ignoredPrefix begins the names of parameters that are not for us: what
// libraries add so that no cache answers, such as jQuery's "_".
const ignoredPrefix = "_"

// list joins the values of a parameter, each of which is a list with commas. An
// empty value is an empty list; an empty element is a mistake, such as a
// variable that was not set.
func list(name string, values []string) (all []string, err error) {
	for _, v := range values {
		if v == "" {
			continue
		}
		for item := range strings.SplitSeq(v, ",") {
			if item == "" {
				return nil, domain.At(fmt.Sprintf("%s[%d]", name, len(all)),
					&domain.FieldError{Problem: "empty: there is a comma too many"})
			}
			all = append(all, item)
		}
	}
	return all, nil
}

// checkParams refuses parameters that nobody reads: who wrote one expects it to
// do something.
func (w *wish) checkParams(query url.Values, cfg Config) error {
	once := append([]string{"token"}, w.Params...)
	if user := query.Get("user"); cfg.Tokenless != nil || user == w.grant.User {
		once = append(once, "user")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := query[name]
		switch {
		case slices.Contains(repeated, name), strings.HasPrefix(name, ignoredPrefix):
		case !slices.Contains(once, name):
			return unknownParam(name, append(once, repeated...), cfg)
		case len(values) > 1 && name != "token": // identify judges it
			return Rejected(http.StatusUnprocessableEntity,
				"%s: it can be given once, and is there %d times", name, len(values))
		case name == "token" && values[0] != "" && !cfg.QueryToken && cfg.Tokenless == nil:
			return Rejected(http.StatusUnprocessableEntity, "token: %s", queryTokenOff)
		}
	}
	return nil
}

// queryTokenOff says why a token was not looked at.
const queryTokenOff = "this node takes no tokens from the query (auth.query_token is off)"

// explain says more about a missing token where there is one that the node does
// not look at.
func (reg *Registry) explain(err error, r *http.Request, token string) error {
	if !errors.Is(err, domain.ErrUnauthenticated) || reg.cfg.QueryToken || token != "" ||
		r.Header.Get("Authorization") != "" || r.URL.Query().Get("token") == "" {
		return err
	}
	return Rejected(http.StatusUnauthorized, "no valid token: %s", queryTokenOff)
}

func unknownParam(name string, known []string, cfg Config) error {
	if name == "user" {
		return Rejected(http.StatusUnprocessableEntity,
			"user: only a node in development takes that; here the token says who you are, somebody else")
	}
	hint := nearest(name, known)
	if hint != "" {
		hint = ": did you mean " + hint + "?"
	}
	return Rejected(http.StatusUnprocessableEntity, "query: unknown parameter %q%s", clip(name), hint)
}

func clip(name string) string {
	const most = 64
	if len(name) <= most {
		return strings.ToValidUTF8(name, "?")
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}

// nearest returns the name that a mistaken one was meant to be, "" if none is
// near: one that differs in case and punctuation only, that it is the beginning
// or end of, or that a few letters make of it.
func nearest(given string, names []string) string {
	if len(given) > 64 {
		return ""
	}
	given = plainName(given)
	best, least := "", max(2, len(given)/3)+1
	for _, name := range names {
		d := edits(given, plainName(name))
		if d > 0 && len(given) > 3 && (strings.HasSuffix(given, name) || strings.HasPrefix(name, given)) {
			d = 1 // access_token
		}
		if d < least {
			best, least = name, d
		}
	}
	return best
}

func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// edits counts the letters that have to be changed to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := left
			if a[i] != b[j] {
				changed++
			}
			left = row[j+1]
			row[j+1] = min(changed, row[j]+1, left+1)
		}
	}
	return row[len(b)]
}
