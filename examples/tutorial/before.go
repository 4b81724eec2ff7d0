package tutorial

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/olahol/melody"
	"github.com/redis/go-redis/v9"
)

// Before is the server of the tutorial. It hears the channel until ctx ends.
func Before(ctx context.Context, client *redis.Client, login Login) (http.Handler, error) {
	channel := client.Subscribe(ctx, Channel)
	if _, err := channel.Receive(ctx); err != nil { // it is subscribed from here on
		return nil, err
	}
	sockets := melody.New()
	go func() {
		defer channel.Close()
		for {
			select {
			case m := <-channel.Channel():
				passOn(sockets, []byte(m.Payload))
			case <-ctx.Done():
				_ = sockets.Close()
				return
			}
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		user, err := login(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		_ = sockets.HandleRequestWithKeys(w, r, map[string]any{"user": user})
	})
	return mux, nil
}

// passOn looks at all WebSockets for those of the user.
func passOn(sockets *melody.Melody, message []byte) {
	var n notification
	if json.Unmarshal(message, &n) != nil {
		return
	}
	_ = sockets.BroadcastFilter(message, func(s *melody.Session) bool {
		user, _ := s.Get("user")
		return user == n.UserID
	})
}
