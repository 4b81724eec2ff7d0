package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fanfarebus/fanfare/internal/pause"
)

// Pauses between the attempts of one upload.
const (
	firstPause = time.Second
	maxPause   = 10 * time.Second
)

// maxAnswer is the most bytes of an answer that are read.
const maxAnswer = 64 << 10

// A client posts spans to a collector. It is safe for concurrent use, although nobody uses it
// so.
type client struct {
	settings
	version string // of the software, for the collector's log
	http    *http.Client
	pause   time.Duration // before the second attempt
}

var _ otlptrace.Client = (*client)(nil)

func newClient(s settings, version string) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if s.tls != nil {
		transport.TLSClientConfig = s.tls
	}
	return &client{settings: s, version: version, pause: firstPause, http: &http.Client{
		Transport: transport,
		// A redirect would take the headers, which may be secret, to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Start is part of [otlptrace.Client] and does nothing.
func (c *client) Start(context.Context) error { return nil }

// Stop lets go of connections.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces posts spans until the collector has answered, or ctx ends. It tries again
// what may pass; whoever calls it bounds for how long.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := c.encode(spans)
	if err != nil {
		return err
	}
	backoff := pause.Backoff{Min: c.pause, Max: maxPause}
	for {
		err := c.post(ctx, body)
		var again *passing
		if !errors.As(err, &again) {
			return err
		}
		if !pause.For(ctx, max(again.after, backoff.Next())) {
			return err
		}
	}
}

// encode makes the body of a request. A request and [tracepb.TracesData] are the same on the
// wire; the package with the type of the request would compile gRPC.
func (c *client) encode(spans []*tracepb.ResourceSpans) ([]byte, error) {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil || !c.gzip {
		return body, err
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(body)
	err = errors.Join(err, w.Close())
	return packed.Bytes(), err
}

// A passing error is one after which the same request may succeed.
type passing struct {
	error
	after time.Duration // how long the collector wants to be left alone, at least
}

func (e *passing) Unwrap() error { return e.error }

// post sends one request.
func (c *client) post(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	maps.Copy(r.Header, c.header)
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("User-Agent", "fanfare/"+c.version)
	if c.gzip {
		r.Header.Set("Content-Encoding", "gzip")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		var u *url.Error // whose text has the URL, in which there may be a key
		if errors.As(err, &u) {
			err = u.Err
		}
		return &passing{error: fmt.Errorf("%s does not answer: %w", r.URL.Host, err)}
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch status := answer.StatusCode; {
	case status >= 200 && status < 300:
		return rejected(text)
	case status == 429, status == 502, status == 503, status == 504:
		return &passing{fmt.Errorf("the collector answered %s", answer.Status), retryAfter(answer.Header)}
	case err != nil:
		return err
	}
	return fmt.Errorf("the collector answered %s", answer.Status)
}

// retryAfter returns what a Retry-After in seconds says, within reason.
func retryAfter(h http.Header) time.Duration {
	s, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || s < 0 {
		return 0
	}
	return time.Duration(min(s, 60)) * time.Second
}

// rejected reads an answer to spans that were taken. It returns an error if some were not:
// the answer has a message in field 1, whose field 1 is how many, and field 2 why.
func rejected(answer []byte) error {
	var (
		spans uint64
		why   string
	)
	fields(answer, func(n protowire.Number, _ uint64, partial []byte) {
		if n != 1 {
			return
		}
		fields(partial, func(n protowire.Number, number uint64, text []byte) {
			switch n {
			case 1:
				spans = number
			case 2:
				why = string(text)
			}
		})
	})
	if spans == 0 {
		return nil // a text alone is a hint
	}
	return fmt.Errorf("the collector rejected %d spans: %.200q", spans, why)
}

// fields calls each for the fields of a message until one cannot be read. Fields that are
// neither numbers nor of bytes are passed over.
func fields(message []byte, each func(n protowire.Number, number uint64, text []byte)) {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return
		}
		message = message[size:]
		var number uint64
		var text []byte
		switch kind {
		case protowire.VarintType:
			number, size = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			text, size = protowire.ConsumeBytes(message)
		default:
			size = protowire.ConsumeFieldValue(n, kind, message)
		}
		if size < 0 {
			return
		}
		each(n, number, text)
		message = message[size:]
	}
}
