package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	// maxAnswer is how much of an answer is read, so that the connection can be used
	// again.
	maxAnswer = 64 << 10
	// idleTimeout is how long a connection is kept that nothing is sent on.
	idleTimeout = 90 * time.Second
	// maxRetryAfter bounds what an endpoint may ask for with Retry-After.
	maxRetryAfter = time.Hour
)

// A delivery is one request that may have to be repeated.
type delivery struct {
	id          string // the header webhook-id
	contentType string
	body        []byte
}

// deliveryID makes the id of a delivery, by which endpoints recognise a repetition. Parts
// of what it is made of come from clients, so it is a hash.
func deliveryID(kind string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return kind + "_" + hex.EncodeToString(h.Sum(nil)[:16])
}

// errGone means that the endpoint wants nothing more.
var errGone = errors.New("the endpoint is gone (410)")

// A statusError is an answer that is no success.
type statusError struct {
	status int
	after  time.Duration // what Retry-After says; 0 for nothing
}

func (e *statusError) Error() string {
	text := http.StatusText(e.status)
	if e.status >= 300 && e.status < 400 {
		text += ", and redirects are not followed"
	}
	return strings.TrimSpace(fmt.Sprintf("the endpoint answered %d %s", e.status, text))
}

// post makes one attempt.
func (p *poster) post(ctx context.Context, d delivery) error {
	late := fmt.Errorf("there was no answer within %v", p.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, p.Timeout, late)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(d.body))
	if err != nil {
		return errors.New("the URL makes no request") // the error would show the URL
	}
	now := time.Now()
	signature, err := p.sign(d, now)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", d.contentType)
	req.Header.Set("User-Agent", "fanfare")
	// The names are written in lower case, as in the specification; HTTP does not care.
	req.Header.Set(standardwebhooks.HeaderWebhookID, d.id)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	answer, err := p.client.Do(req)
	if err != nil {
		if errors.Is(context.Cause(ctx), late) {
			return late // and not: context deadline exceeded
		}
		return withoutURL(err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	switch {
	case answer.StatusCode >= 200 && answer.StatusCode < 300:
		return nil
	case answer.StatusCode == http.StatusGone:
		return errGone
	}
	return &statusError{answer.StatusCode, parseRetryAfter(answer.Header.Get("Retry-After"), now)}
}

// sign returns a signature for each secret.
func (p *poster) sign(d delivery, now time.Time) (string, error) {
	var all []string
	for _, key := range p.keys {
		s, err := key.Sign(d.id, now, d.body)
		if err != nil {
			return "", fmt.Errorf("sign: %w", err)
		}
		all = append(all, s)
	}
	return strings.Join(all, " "), nil
}

// withoutURL returns the error that an [url.Error] wraps: a URL may have a secret in it.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// parseRetryAfter reads a Retry-After: seconds, or a date. It returns 0 for nothing, and
// at most maxRetryAfter.
func parseRetryAfter(text string, now time.Time) time.Duration {
	var after time.Duration
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		after = time.Duration(min(seconds, int64(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		after = at.Sub(now)
	}
	return min(max(after, 0), maxRetryAfter)
}

// fullJitter returns a random pause before the attempt after the nth: up to low, doubled
// with each attempt, and never more than high.
func fullJitter(n int, low, high time.Duration) time.Duration {
	upper := low
	for range n - 1 {
		if upper >= high/2 {
			upper = high
			break
		}
		upper *= 2
	}
	return rand.N(min(upper, high)) + time.Millisecond
}
