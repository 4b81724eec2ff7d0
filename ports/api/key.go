package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// authorize says what the request's key is good for.
func (a *API) authorize(r *http.Request) (domain.Scopes, *Problem) {
	key, ok := bearer(r.Header.Values("Authorization"))
	if !ok {
		a.note(r, "ambiguous", "there are several keys in Authorization")
		return nil, problem(http.StatusUnauthorized,
			"there are several API keys in Authorization: want one")
	}
	scopes, err := a.keys.Authorize(r.Context(), key)
	if err == nil {
		return scopes, nil
	}
	reason, detail := "unauthenticated", err.Error()
	var c *domain.CredentialError
	if errors.As(err, &c) {
		reason, detail = c.Reason, c.Detail
	}
	a.note(r, reason, detail)
	return nil, problem(http.StatusUnauthorized,
		"publishing needs an API key, as in \"Authorization: Bearer <key>\"")
}

// bearer returns the key of the scheme Bearer, "" if there is none. What else is
// there is not ours: a proxy in front may have credentials of its own. It is
// false if there are two keys that differ: two readers would not choose the
// same one.
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

// maxReasons is more than there are: an Authorizer that made up ever new ones
// would fill the memory.
const maxReasons = 100

// note counts and logs that a key is the reason why a request is refused.
func (a *API) note(r *http.Request, reason, detail string) {
	a.mu.Lock()
	if _, known := a.distrust[reason]; !known && len(a.distrust) >= maxReasons {
		reason = "other"
	}
	a.distrust[reason]++
	a.mu.Unlock()
	a.cfg.Logger.Info("a publisher was refused", "reason", reason, "detail", detail, "connection",
		r.RemoteAddr)
}
