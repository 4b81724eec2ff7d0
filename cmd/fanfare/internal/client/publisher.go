package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// publishTime bounds one request.
const publishTime = 10 * time.Second

// A Publisher posts messages to a node. It may be used concurrently.
type Publisher struct {
	Node string // URL of the node, or of a load balancer
	Key  string // API key; "" for none
}

// A Published is what a node answers about messages that are on the bus.
type Published struct {
	IDs    []string `json:"ids"`
	Cursor string   `json:"cursor,omitempty"` // after the last message; "" if it is not known
}

// Publish posts messages of a system, each a JSON object on a line of its own,
// and returns what the node answers. It tries once. If the node refuses, the error is a
// [*Refusal], which says how many messages are on the bus.
func (p Publisher) Publish(
	ctx context.Context, system string, lines []byte,
) (done Published, err error) {
	u, err := endpoint(p.Node, "/v1/systems/"+system+"/messages")
	if err != nil {
		return done, err
	}
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(lines))
	if err != nil {
		return done, err
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	if p.Key != "" {
		r.Header.Set("Authorization", "Bearer "+p.Key)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return done, unreached(u, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return done, ReadRefusal(answer.StatusCode, answer.Body)
	}
	if err := json.NewDecoder(answer.Body).Decode(&done); err != nil {
		return Published{}, fmt.Errorf("the node's answer cannot be read: %w", err)
	}
	return done, nil
}

// unreached says that a node did not answer. It shows the URL without its
// parameters and its user, which the error of net/http would show.
func unreached(node *url.URL, err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return fmt.Errorf("no answer from a node at %s://%s (see --url): %w",
		node.Scheme, node.Host, err)
}
