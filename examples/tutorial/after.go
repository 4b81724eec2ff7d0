package tutorial

import (
	"context"
	"net/http"

	"github.com/fanfarebus/fanfare"
)

// System is Fanfare's name for what comes on [Channel].
const System = "notifications"

// After is a node in place of the server of the tutorial, with its handler. The caller runs
// the node with [fanfare.Node.Run], which closes it.
func After(ctx context.Context, redisURL string, login Login) (*fanfare.Node, http.Handler, error) {
	cfg := fanfare.Config{
		Transport: redisURL,
		Topic:     "push:{system}", // so the topic of the system is Channel
		Systems:   []string{System},
		// The messages on the channel are not in Fanfare's envelope. This field names
		// the user, and the whole object is what the user gets.
		Envelope: fanfare.EnvelopeConfig{UserField: "user_id"},
	}
	node, err := fanfare.New(ctx, cfg, fanfare.WithAuthenticator(
		func(r *http.Request) (fanfare.Grant, error) {
			user, err := login(r)
			if err != nil {
				return fanfare.Grant{}, fanfare.Refuse("no_login", err.Error())
			}
			return fanfare.Grant{User: user, Systems: []string{System}}, nil
		}))
	if err != nil {
		return nil, nil, err
	}
	return node, oldAddress(node), nil
}

// oldAddress lets pages go on to open /ws without saying what they want to receive. Those
// that say it, such as those with one of Fanfare's clients, are left alone.
func oldAddress(node http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" && r.URL.RawQuery == "" {
			r.URL.RawQuery = "systems=" + System
		}
		node.ServeHTTP(w, r)
	})
}
