package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// FetchCursor asks a node where a system is now. A program that shows a state, and keeps it
// up to date with the messages of a system, asks for the cursor first, then reads the state,
// and then connects with the cursor in Config.From. So it misses no message that is not in
// the state, if whoever changes the state does that before publishing the message.
//
// It uses URL, Token and Timeout. If the node answers with an error status, the error is a
// [Refusal]. It is safe for concurrent use, as long as Token is.
func (c Config) FetchCursor(ctx context.Context, system string) (string, error) {
	var answer struct {
		Cursor string `json:"cursor"`
	}
	if err := c.fetch(ctx, system, "cursor", nil, &answer); err != nil {
		return "", fmt.Errorf("client: where %s is: %w", system, err)
	}
	if answer.Cursor == "" {
		return "", fmt.Errorf("client: where %s is: %w: an answer without a cursor", system, ErrProtocol)
	}
	return answer.Cursor, nil
}

// A PageQuery says which messages of a system's history to read.
type PageQuery struct {
	System string
	// To names the targets; without one, those of the user and those for everyone.
	To []string
	// After and Before are cursors, of which at most one may be set. The messages are the
	// first ones after After, the last ones before Before or, without both, the latest.
	After, Before string
	// Limit is how many messages to read at most; 0 lets the node decide.
	Limit int
}

// A Page is a part of a system's history.
type Page struct {
	Messages []*Message // oldest first
	// Next continues: as After if the query had that, otherwise as Before. It is empty
	// where nothing is left.
	Next string
	// Coverage says whether the page has all that there was.
	Coverage Coverage
}

// FetchPage reads a part of a system's history. It uses URL, Token and Timeout. If the node
// answers with an error status, the error is a [Refusal]. It is safe for concurrent use, as
// long as Token is.
func (c Config) FetchPage(ctx context.Context, q PageQuery) (*Page, error) {
	query := url.Values{}
	query["to"] = q.To
	for name, value := range map[string]string{"after": q.After, "before": q.Before} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if q.Limit != 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	var answer struct {
		coverage
		Messages []op   `json:"messages"`
		Next     string `json:"next"`
	}
	if err := c.fetch(ctx, q.System, "messages", query, &answer); err != nil {
		return nil, fmt.Errorf("client: reading the history of %s: %w", q.System, err)
	}
	page := &Page{Next: answer.Next, Coverage: *answer.exported()}
	for i := range answer.Messages {
		page.Messages = append(page.Messages, answer.Messages[i].message())
	}
	return page, nil
}

// mostAnswer is how many bytes of an answer are read. Nodes send less.
const mostAnswer = 64 << 20

// fetch asks a node for what there is about a system.
func (c Config) fetch(ctx context.Context, system, what string, query url.Values, into any) error {
	c = c.withDefaults()
	at, err := c.endpoint()
	if err != nil {
		return err
	}
	if !systemName.MatchString(system) {
		return errors.New("want a name of a-z, 0-9, _ and -")
	}
	at.Scheme = map[string]string{"ws": "http", "wss": "https"}[at.Scheme]
	at = at.JoinPath("../v1/systems", system, what)
	all := at.Query()
	for name, values := range query {
		all[name] = values
	}
	at.RawQuery = all.Encode()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return err
	}
	if c.Token != nil {
		token, err := c.Token(ctx)
		if err != nil {
			return fmt.Errorf("getting a token: %w", err)
		}
		ask.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return refusal(answer)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	return err
}

// A target is one, or the first of a list.
type target string

// UnmarshalJSON reads a string or a list of them.
func (t *target) UnmarshalJSON(text []byte) error {
	if text[0] != '[' {
		return json.Unmarshal(text, (*string)(t))
	}
	var all []string
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	*t = target(cmp.Or(append(all, "")...))
	return nil
}
