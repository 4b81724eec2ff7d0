package api

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// scopes returns the request's API key, and what it grants. What says what the caller
// wants to do.
func (a *API) scopes(r *http.Request, what string) (key string, _ domain.Scopes, _ *Problem) {
	key, ok := bearer(r.Header["Authorization"])
	if !ok {
		a.recordBadKey(r, "ambiguous", "there are several keys in Authorization")
		return "", nil, problem(http.StatusUnauthorized,
			"there are several API keys in Authorization: want one")
	}
	scopes, err := a.keys.Authorize(r.Context(), key)
	if err == nil {
		return key, scopes, nil
	}
	reason, detail, told := "unauthenticated", err.Error(), "the one in Authorization is not known to this node"
	var c *domain.CredentialError
	if errors.As(err, &c) {
		reason, detail, told = c.Reason, c.Detail, cmp.Or(c.Told, told)
	}
	a.recordBadKey(r, reason, detail)
	if key != "" {
		return "", nil, problem(http.StatusUnauthorized,
			what+" needs an API key: "+told)
	}
	return "", nil, problem(http.StatusUnauthorized,
		what+" needs an API key, as in \"Authorization: Bearer <key>\"")
}

// bearer returns the key of the scheme Bearer, "" if there is none. It ignores other
// schemes: a proxy in front of the node may ask for credentials of its own. It returns
// false if there are two keys that differ, since two readers might choose different ones.
func bearer(headers []string) (key string, ok bool) {
	for _, h := range headers {
		i := strings.IndexAny(h, " \t")
		if i < 0 || !strings.EqualFold(h[:i], "Bearer") {
			continue
		}
		switch text := strings.TrimSpace(h[i:]); {
		case text == "" || text == key:
		case key == "":
			key = text
		default:
			return "", false
		}
	}
	return key, true
}

// maxReasons is more than there are. An [Authorizer] that made up a new reason for each
// key would otherwise fill the memory.
const maxReasons = 100

// recordBadKey counts and logs that a request is refused because of its key.
func (a *API) recordBadKey(r *http.Request, reason, detail string) {
	a.mu.Lock()
	if _, known := a.unauthorized[reason]; !known && len(a.unauthorized) >= maxReasons {
		reason = "other"
	}
	a.unauthorized[reason]++
	a.mu.Unlock()
	a.cfg.Logger.Info("an API key was refused",
		"reason", reason, "detail", detail, "connection", r.RemoteAddr)
}
