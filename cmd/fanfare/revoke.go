package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

// A revocation is what the flags of `fanfare revoke` say.
type revocation struct {
	JTI    string `json:"jti,omitempty"`
	User   string `json:"user,omitempty"`
	Before any    `json:"issued_before,omitempty"` // text or a number
	TTL    *int64 `json:"ttl,omitempty"`
}

func (a *app) revoke() *cobra.Command {
	var o order
	var r revocation
	var before string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "revoke --jti ID | --user USER",
		Short: "Revoke a token, or a user's tokens, on all nodes",
		Long: `Closes the sessions of the token with a jti, or of a user's tokens that were issued before a time, and
refuses those tokens. The user may come with a newer token. A token without iat was issued before any
time. The API key needs the scope admin.` + codes,
		Example: `  fanfare revoke --jti 7d1c0a3e
  fanfare revoke --user alice
  fanfare revoke --user alice --issued-before 2026-11-30T12:00:00Z --ttl 24h`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			what, err := r.check(before)
			if err != nil {
				return err
			}
			if r.TTL, err = ttlSeconds(ttl); err != nil {
				return err
			}
			return a.give(cmd.Context(), o, what, client.Request{
				Method: http.MethodPost, Path: []string{"tokens", "revoke"}, Body: r,
			})
		},
	}
	f := cmd.Flags()
	o.flags(f)
	f.StringVar(&r.JTI, "jti", "", "the token with this jti")
	f.StringVar(&r.User, "user", "", "the tokens of this user")
	f.StringVar(&before, "issued-before", "",
		"of the user's tokens, those issued before: RFC 3339, or seconds since 1970; default now")
	f.DurationVar(&ttl, "ttl", 0,
		"how long it is remembered, at least as long as such tokens are good; 0: 366 days, which is the most")
	return cmd
}

// check checks the flags, and returns what they do.
func (r *revocation) check(before string) (what string, err error) {
	switch {
	case (r.JTI == "") == (r.User == ""):
		return "", errors.New("want either --jti ID or --user USER")
	case r.JTI != "" && before != "":
		return "", errors.New("--issued-before goes with --user, not with --jti")
	case r.JTI != "":
		return "revoke token " + printable(r.JTI), checkName("--jti", r.JTI)
	}
	if before != "" {
		if r.Before, err = momentOf(before); err != nil {
			return "", fmt.Errorf("--issued-before: %w", err)
		}
	}
	return "revoke tokens of " + printable(r.User), checkName("--user", r.User)
}

// momentOf returns a time as the API takes it: text of RFC 3339, or a number of seconds.
func momentOf(text string) (any, error) {
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return text, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f >= 0 && json.Valid([]byte(text)) {
		return json.Number(text), nil
	}
	return nil, fmt.Errorf("%q: want a time as in 2026-11-30T12:00:00Z, or seconds since 1970", text)
}
