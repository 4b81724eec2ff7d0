package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// maxEvent bounds one event of a stream: a message's data may be large.
const maxEvent = 64 << 20

// Watch asks for a stream of events, and gives the data of each to take until that returns an
// error, which is returned, or ctx ends. It returns nil if the node has ended the stream.
func (c Controller) Watch(
	ctx context.Context, path []string, query url.Values, take func(event []byte) error,
) error {
	u, err := endpoint(c.Node, "")
	if err != nil {
		return err
	}
	u = below(u, append([]string{"v1"}, path...))
	u.RawQuery = query.Encode()
	req, err := c.request(ctx, Request{Method: http.MethodGet}, u)
	if err != nil {
		return err
	}
	got, err := direct.Do(req)
	if err != nil {
		return unreached(u, err)
	}
	defer got.Body.Close()
	if to, err := got.Location(); err == nil {
		return fmt.Errorf("the node's URL leads to %s://%s: give that with --url", to.Scheme, to.Host)
	}
	if got.StatusCode != http.StatusOK {
		return ReadRefusal(got.StatusCode, got.Body)
	}
	if got.Header.Get("Content-Type") != "text/event-stream" {
		return errors.New("the answer is no stream of events: is there a Fanfare node at this URL?")
	}
	return readEvents(got.Body, take)
}

// readEvents reads events, each of which is one line of data.
func readEvents(from io.Reader, take func(event []byte) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 4096), maxEvent)
	for lines.Scan() {
		if data, is := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); is {
			if err := take(data); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}
