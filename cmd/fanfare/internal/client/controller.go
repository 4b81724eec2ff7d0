package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer. The largest lists a thousand nodes, each with
// the names of a hundred systems.
const maxAnswer = 16 << 20

// direct follows no redirects: it would have to make a GET of a DELETE, and its answer would
// look as if all had gone well.
var direct = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// A Controller asks a node who is there, and says who must go. It may be used
// concurrently. Each method makes one request, and returns the node's answer as it is; if
// the node refuses, the error is a [*Refusal].
type Controller struct {
	Node string // URL of the node, or of a load balancer
	Key  string // API key; "" for none
}

// A Request is one request to the control plane's routes, as docs/protocol.md has them.
type Request struct {
	Method string
	Path   []string          // the segments below /v1, not escaped
	Query  map[string]string // empty values are left out
	Body   any               // as JSON; nil for none
	Wait   time.Duration     // how long the node is asked to wait for others
	Within time.Duration     // how long the node waits because of what else is in the request
}

// Do makes a request.
func (c Controller) Do(ctx context.Context, r Request) (answer []byte, err error) {
	u, err := endpoint(c.Node, "")
	if err != nil {
		return nil, err
	}
	u = below(u, append([]string{"v1"}, r.Path...))
	q := u.Query()
	for name, value := range r.Query {
		if value != "" {
			q.Set(name, value)
		}
	}
	if r.Wait > 0 {
		q.Set("wait", r.Wait.String())
	}
	u.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(ctx, publishTime+r.Wait+r.Within)
	defer cancel()
	req, err := c.request(ctx, r, u)
	if err != nil {
		return nil, err
	}
	got, err := direct.Do(req)
	if err != nil {
		return nil, unreached(u, err)
	}
	defer got.Body.Close()
	if to, err := got.Location(); err == nil {
		return nil, fmt.Errorf("the node's URL leads to %s://%s: give that with --url", to.Scheme, to.Host)
	}
	if got.StatusCode != http.StatusOK && got.StatusCode != http.StatusAccepted {
		return nil, ReadRefusal(got.StatusCode, got.Body)
	}
	answer, err = io.ReadAll(io.LimitReader(got.Body, maxAnswer))
	if err == nil && !json.Valid(answer) {
		err = errors.New("it is no JSON: is there a Fanfare node at this URL?")
	}
	if err != nil {
		return nil, fmt.Errorf("the node's answer cannot be read: %w", err)
	}
	return bytes.TrimSpace(answer), nil
}

func (c Controller) request(ctx context.Context, r Request, u *url.URL) (*http.Request, error) {
	var body io.Reader
	if r.Body != nil {
		text, err := json.Marshal(r.Body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if r.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	return req, nil
}

// below returns a URL with segments added to its path. Each segment stays one, whatever is
// in it: a name may hold slashes, and be "." or "..", which would be taken for a way up.
func below(u *url.URL, segments []string) *url.URL {
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	for _, s := range segments {
		escaped := url.PathEscape(s)
		if s == "." || s == ".." {
			escaped = strings.ReplaceAll(s, ".", "%2E")
		}
		path += "/" + escaped
	}
	deeper := *u
	deeper.RawPath = path
	deeper.Path, _ = url.PathUnescape(path) // it was escaped above
	return &deeper
}
