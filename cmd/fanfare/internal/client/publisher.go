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

// Publish posts messages of a system, each a JSON object on a line of its own,
// and returns their ids. It tries once. If the node refuses, the error is a
// [*Refusal], which says how many messages are on the bus.
func (p Publisher) Publish(
	ctx context.Context, system string, lines []byte,
) (ids []string, err error) {
	u, err := endpoint(p.Node, "/v1/systems/"+system+"/messages")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(lines))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	if p.Key != "" {
		r.Header.Set("Authorization", "Bearer "+p.Key)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, unreached(u, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return nil, ReadRefusal(answer.StatusCode, answer.Body)
	}
	var accepted struct{ IDs []string }
	if err := json.NewDecoder(answer.Body).Decode(&accepted); err != nil {
		return nil, fmt.Errorf("the node's answer cannot be read: %w", err)
	}
	return accepted.IDs, nil
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
