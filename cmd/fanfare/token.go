package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

// maxTokenTTL is ten years. Whoever asks for more means for ever.
const maxTokenTTL = 10 * 365 * 24 * time.Hour

func (a *app) token() *cobra.Command {
	var g domain.Grant
	var ttl time.Duration
	cmd := withSettings(&cobra.Command{
		Use:   "token",
		Short: "Mint a session token with the configured secret",
		Long: `Prints a JWT that lets a user attach. What it does not name it does not grant. Names are globs, in
which * stays within one part; sending to everyone needs SYSTEM/all, and to the system's own
service SYSTEM/inbound, spelled out. A token with --jti can be revoked alone; all tokens of a user
can be revoked by when they were issued.`,
		Example: `  fanfare token --config fanfare.yaml --user alice --systems orders,chat --ttl 1h
  fanfare token --user alice --systems chat --rooms 'chat/*' --send 'chat/room:*,chat/inbound' ` +
			"--auth.jwt.secret_file jwt.secret",
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.load(cmd)
			if err != nil {
				return err
			}
			token, err := mint(s.Config.Auth.JWT, g, ttl)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.out, token)
			return nil
		},
	}, "auth.jwt.secret", "auth.jwt.issuer", "auth.jwt.audience")
	f := cmd.Flags()
	f.StringVar(&g.User, "user", "", "who the token is for")
	f.StringSliceVar(&g.Systems, "systems", nil, "systems to attach to, such as orders,shop-*")
	f.StringSliceVar(&g.Rooms, "rooms", nil, "rooms to join, such as chat/*")
	f.StringSliceVar(&g.Send, "send", nil,
		"targets to send to, such as chat/room:*, and chat/inbound for the system's own service")
	f.StringSliceVar(&g.Presence, "presence", nil,
		"where to see who is there: rooms, such as chat/*, and chat/ for all of the system")
	f.StringVar(&g.Token, "jti", "", "the token's id, by which it can be revoked")
	f.DurationVar(&ttl, "ttl", time.Hour, "how long it is good for")
	return cmd
}

// mint makes a token that grants g for the time ttl.
func mint(cfg fanfare.JWTConfig, g domain.Grant, ttl time.Duration) (string, error) {
	switch {
	case cfg.Secret == "":
		return "", errors.New("auth.jwt.secret: not set: minting needs the secret " +
			"that the nodes have (see --auth.jwt.secret_file)")
	case g.User == "":
		return "", errors.New("want --user NAME")
	case ttl < time.Second || ttl > maxTokenTTL:
		return "", fmt.Errorf("--ttl: %v: want at least 1s (a token ends at a whole second) "+
			"and at most %v", ttl, maxTokenTTL)
	}
	if err := g.CheckPatterns(); err != nil {
		return "", fmt.Errorf("--%w", err)
	}
	jwt, err := newJWT(cfg)
	if err != nil {
		return "", err
	}
	g.Expires = time.Now().Add(ttl)
	return jwt.Mint(g)
}

// newJWT makes what mints tokens with the nodes' secret.
func newJWT(cfg fanfare.JWTConfig) (*auth.JWT, error) {
	if err := usualClaims(cfg.Claims); err != nil {
		return nil, err
	}
	jwt, err := auth.NewJWT(auth.JWTConfig{
		Secret: string(cfg.Secret), Issuer: cfg.Issuer, Audience: cfg.Audience,
	})
	if err != nil {
		return nil, fmt.Errorf("auth.jwt: %w", err)
	}
	return jwt, nil
}

// usualClaims refuses claims of other names: nodes would not find in a token what is in it.
func usualClaims(c fanfare.ClaimsConfig) error {
	for _, claim := range []struct{ key, name, usual string }{
		{"user", c.User, "sub"}, {"systems", c.Systems, "systems"}, {"rooms", c.Rooms, "rooms"},
		{"send", c.Send, "send"}, {"presence", c.Presence, "presence"},
	} {
		if claim.name != "" && claim.name != claim.usual {
			return fmt.Errorf("auth.jwt.claims.%s: these nodes read the claim %s, and tokens that are "+
				"made here have %s: have your login make one", claim.key, claim.name, claim.usual)
		}
	}
	return nil
}

func (a *app) key() *cobra.Command {
	var name, scopes, expires, rate string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make an API key for a publisher or an operator",
		Long: `Prints a new key, once, and the entry that makes nodes accept it. The entry holds only the key's
hash. Add it to auth.api_keys of every node, and give the key to whoever needs it.

Scopes: publish/SYSTEM to publish, read/SYSTEM to read what was published, presence/SYSTEM to ask who
is there, members/SYSTEM to put users into rooms, admin to disconnect, block and revoke and to see the
nodes, and * for everything.

A key with --ttl or --expires is refused from then on. With --rate, each node takes that many messages
in a second (100/s) or a minute (30/m) with the key, and answers 429 to more. To rotate a key, make a
second one with the same name, and remove the entry of the first when nobody uses it any more.`,
		Example: `  fanfare key --name shop --scopes publish/orders+publish/chat
  fanfare key --name backend --scopes 'presence/chat+members/chat+admin'
  fanfare key --name ops --scopes '*'
  fanfare key --name shop --scopes publish/orders --expires 2027-06-30 --rate 500/s`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" || scopes == "" {
				return errors.New("want --name NAME and --scopes SCOPES, " +
					"such as --scopes publish/orders")
			}
			list := strings.FieldsFunc(scopes, func(r rune) bool { return r == '+' || r == ',' })
			limits, err := keyLimits(expires, ttl, rate, time.Now())
			if err != nil {
				return err
			}
			key, entry, err := auth.NewKey(name, list, limits)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "key:   %s\nentry: %s\n", key, entry)
			fmt.Fprintln(a.err, "The key is not shown again. "+
				"Add the entry to auth.api_keys of every node.")
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "whose key it is")
	cmd.Flags().StringVar(&scopes, "scopes", "",
		"what it is good for, joined by +: publish/, read/, presence/ or members/SYSTEM, admin, or *")
	cmd.Flags().StringVar(&expires, "expires", "",
		"when it ends: 2027-01-01, or 2027-01-01T12:00:00Z (default: never)")
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long it is good for, instead of --expires")
	cmd.Flags().StringVar(&rate, "rate", "",
		"messages that a node takes with it: 100/s, or 30/m (default: any number)")
	return cmd
}

// keyLimits reads the limits of a key that is made now.
func keyLimits(
	expires string, ttl time.Duration, rate string, now time.Time,
) (l auth.KeyLimits, err error) {
	switch {
	case expires != "" && ttl != 0:
		return l, errors.New("both --expires and --ttl: keep one")
	case expires != "":
		l.Expires, err = auth.ParseKeyExpiry(expires)
	case ttl != 0:
		l.Expires = now.Add(ttl).Truncate(time.Second).UTC()
	}
	if err != nil {
		return l, fmt.Errorf("--expires: %w", err)
	}
	if !l.Expires.IsZero() && !l.Expires.After(now) {
		return l, errors.New("the key would have expired already")
	}
	if rate == "" {
		return l, nil
	}
	if l.Rate, err = auth.ParseKeyRate(rate); err != nil {
		return l, fmt.Errorf("--rate: %w", err)
	}
	return l, nil
}
