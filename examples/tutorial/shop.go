package tutorial

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/redis/go-redis/v9"
)

// Channel is the Redis channel on which the shop publishes.
const Channel = "push:notifications"

// A Shop is the service that has something to tell its users. It knows of no servers and no
// WebSockets, and nothing in it is changed by the move.
type Shop struct{ Redis *redis.Client }

// A notification is what the shop publishes and what the pages get.
type notification struct {
	UserID string `json:"user_id"`
	Text   string `json:"text"`
}

// Tell publishes a text for a user.
func (s Shop) Tell(ctx context.Context, user, text string) error {
	body, err := json.Marshal(notification{user, text})
	if err != nil {
		return err
	}
	return s.Redis.Publish(ctx, Channel, body).Err()
}

// A Login returns the user whom a request is from. It is the application's own.
type Login func(*http.Request) (user string, err error)

// ErrNotLoggedIn says that a request has no session cookie, or one that is not good.
var ErrNotLoggedIn = errors.New("not logged in")

// CookieLogin is the login of an application that keeps its users' sessions in a map, by
// the value of a cookie.
func CookieLogin(sessions map[string]string) Login {
	return func(r *http.Request) (string, error) {
		cookie, err := r.Cookie("session")
		if err != nil {
			return "", ErrNotLoggedIn
		}
		user := sessions[cookie.Value]
		if user == "" {
			return "", ErrNotLoggedIn
		}
		return user, nil
	}
}
