package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/editdistance"
)

// repeated are the parameters that may be given more than once. Their values add
// up.
var repeated = []string{"systems", "rooms", "room", "resume", "last"}

// ignoredPrefix begins the names of parameters that are ignored: libraries add them
// so that no cache answers, as jQuery does with "_".
const ignoredPrefix = "_"

// list joins the values of a parameter, each of which is a list with commas. An
// empty value is an empty list. An empty element is refused: it is a mistake, such
// as a variable that was not set.
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

// checkParams rejects parameters that nothing reads, because the author of the
// request expects them to do something. Of several faults it names the one that is first
// by name.
func (c *connectRequest) checkParams(query url.Values, cfg *Config) (err error) {
	first := ""
	for name := range query {
		if err != nil && name > first {
			continue
		}
		if fault := c.checkParam(name, query, cfg); fault != nil {
			first, err = name, fault
		}
	}
	return err
}

func (c *connectRequest) checkParam(name string, query url.Values, cfg *Config) error {
	values := query[name]
	switch {
	case slices.Contains(repeated, name), strings.HasPrefix(name, ignoredPrefix):
	case name == "presence" && c.Presence:
	case !c.readsOnce(name, query, cfg):
		known := append([]string{"token", traceparent}, c.Params...)
		if c.readsOnce("user", query, cfg) {
			known = append(known, "user")
		}
		return unknownParam(name, append(known, repeated...), cfg)
	case len(values) > 1 && name != "token": // several tokens are identify's to refuse
		return Rejected(http.StatusUnprocessableEntity,
			"%s: it can be given once, and is there %d times", name, len(values))
	case name == "token" && values[0] != "" && !c.identity.readsQuery() && cfg.Tokenless == nil:
		return Rejected(http.StatusUnprocessableEntity, "token: %s", queryTokenOff)
	}
	return nil
}

// readsOnce reports whether somebody reads the parameter, which may be given once.
func (c *connectRequest) readsOnce(name string, query url.Values, cfg *Config) bool {
	if name == "user" {
		return cfg.Tokenless != nil || query.Get(name) == c.grant.User
	}
	return name == "token" || name == traceparent || slices.Contains(c.Params, name)
}

// readsQuery reports whether somebody looks for a token in the query.
func (id *Identity) readsQuery() bool { return id.QueryToken || id.Login != nil }

// queryTokenOff says why a token was not looked at.
const queryTokenOff = "this node takes no tokens from the query (auth.query_token is off)"

// explainToken replaces the error of a missing token where there is a token in the
// query, at which the node does not look.
func (c *connectRequest) explainToken(err error, r *http.Request, token string) error {
	if !errors.Is(err, domain.ErrUnauthenticated) || c.identity.readsQuery() || token != "" ||
		r.Header.Get("Authorization") != "" || r.URL.Query().Get("token") == "" {
		return err
	}
	return Rejected(http.StatusUnauthorized, "no valid token: %s", queryTokenOff)
}

// unknownParam refuses a parameter, and names the known one that is most like it.
func unknownParam(name string, known []string, cfg *Config) error {
	if name == "user" {
		return Rejected(http.StatusUnprocessableEntity,
			"user: only a node in development takes that; "+
				"here the token says who you are, somebody else")
	}
	hint := nearest(name, known)
	if hint != "" {
		hint = ": did you mean " + hint + "?"
	}
	return Rejected(http.StatusUnprocessableEntity,
		"query: unknown parameter %q%s", clip(name), hint)
}

// clip shortens a parameter's name, for an answer.
func clip(name string) string {
	const most = 64
	if len(name) <= most {
		return strings.ToValidUTF8(name, "?")
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}

// nearest returns the name that a mistaken one was probably meant to be, "" if there
// is none. It may differ in case, punctuation or a few letters; or the mistaken name
// ends in it, as access_token does in token, or begins it.
func nearest(given string, names []string) string {
	if len(given) > 64 {
		return ""
	}
	given = plainName(given)
	best, least := "", max(2, len(given)/3)+1
	for _, name := range names {
		d := editdistance.Of(given, plainName(name))
		part := strings.HasSuffix(given, name) || strings.HasPrefix(name, given)
		if d > 0 && len(given) > 3 && part {
			d = 1
		}
		if d < least {
			best, least = name, d
		}
	}
	return best
}

// plainName returns a name without what people mix up: case and punctuation.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}
