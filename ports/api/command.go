package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// An accepted is the answer to a command that did not wait for other nodes.
type accepted struct {
	ID string `json:"id"`
}

// command makes a fact true, or untrue if del is set.
func (c *call) command(
	k control.Key, v control.Value, ttl time.Duration, del bool,
) (int, any, *Problem) {
	wait, p := c.wait()
	if p != nil {
		return 0, nil, p
	}
	out, err := c.control.Command(c.ctx, k, v, ttl, del, wait)
	c.log(k, v, del, out, err)
	if err != nil {
		p := c.explain(k, err)
		p.ID = out.ID
		return 0, nil, p
	}
	if wait == 0 {
		return http.StatusAccepted, accepted{out.ID}, nil
	}
	out.Applied = append([]string{}, out.Applied...) // not nil, which would be null in JSON
	out.Pending = append([]string{}, out.Pending...)
	return http.StatusOK, out, nil
}

// log says who has given which command. Members change as a part of what the application
// does, the rest is done by people: so only that is logged at the level info.
func (c *call) log(k control.Key, v control.Value, del bool, out control.Outcome, err error) {
	if out.ID == "" {
		return // it was not done
	}
	level := slog.LevelInfo
	if k.Kind == control.Membership {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("command", out.ID), slog.String("kind", string(k.Kind)), slog.String("name", k.Name),
	}
	if k.Kind == control.Membership {
		attrs = append(attrs, slog.String("system", k.System), slog.String("room", k.Room))
	}
	if del {
		attrs = append(attrs, slog.Bool("undone", true))
	}
	if v.Reason != "" {
		attrs = append(attrs, slog.String("told", v.Reason))
	}
	if len(out.Pending) > 0 {
		attrs = append(attrs, slog.Any("pending", out.Pending))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	if namer, ok := c.api.keys.(Namer); ok {
		attrs = append(attrs, slog.String("key", namer.NameOf(c.key)))
	}
	attrs = append(attrs, slog.String("connection", c.from))
	c.api.cfg.Logger.LogAttrs(c.ctx, level, "a command was given", attrs...)
}

// explain returns why a command or a question failed.
func (c *call) explain(k control.Key, err error) *Problem {
	switch {
	case errors.Is(err, domain.ErrUnsupported):
		return controlOff()
	case errors.Is(err, domain.ErrInvalid):
		var wrong faults
		wrong.add("", err)
		return wrong.because(undone)
	case errors.Is(err, domain.ErrLimit):
		return problem(http.StatusTooManyRequests, "too many facts (control.facts), "+
			"or too many commands that wait: try again later")
	case errors.Is(err, domain.ErrClosed):
		return problem(http.StatusServiceUnavailable,
			"this node is shutting down: ask another one; repeating is safe")
	case errors.Is(err, domain.ErrBusDown),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable,
			"this node has applied it, but the bus did not take it in time: "+
				"it goes on trying; repeating is safe")
	}
	c.api.cfg.Logger.Error("control failed", "kind", string(k.Kind), "error", err)
	return problem(http.StatusInternalServerError, "it failed; this node's log says why")
}

// disconnectUser answers POST /v1/users/{user}/disconnect.
func disconnectUser(c *call) (int, any, *Problem) {
	v, p := c.farewell()
	if p != nil {
		return 0, nil, p
	}
	return c.command(control.Key{Kind: control.Disconnect, Name: c.user}, v, control.DisconnectTTL, false)
}

// disconnectSession answers POST /v1/sessions/{id}/disconnect.
func disconnectSession(c *call) (int, any, *Problem) {
	v, p := c.farewell()
	if p != nil {
		return 0, nil, p
	}
	k := control.Key{Kind: control.DisconnectSession, Name: c.session}
	return c.command(k, v, control.DisconnectTTL, false)
}

// Close codes that a disconnect may have.
const (
	disconnected = 4009
	firstCode    = 4100
	lastCode     = 4999
)

// farewell reads what a client is told that is disconnected.
func (c *call) farewell() (v control.Value, _ *Problem) {
	p := c.read(fields{
		"reason": text(&v.Reason, checkReason),
		"code": func(value []byte) error {
			n, err := jsontext.Int(value)
			if err == nil && n != disconnected && (n < firstCode || n > lastCode) {
				err = &domain.FieldError{Problem: fmt.Sprintf(
					"want %d, or a code of your own from %d to %d", disconnected, firstCode, lastCode)}
			}
			v.Code = int(n)
			return err
		},
		"reconnect": func(value []byte) error {
			v.Final = string(value) == "false"
			if !v.Final && string(value) != "true" {
				return &domain.FieldError{Problem: "want true or false"}
			}
			return nil
		},
	})
	return v, p
}

// checkReason checks a text for clients.
func checkReason(reason string) error {
	switch {
	case len(reason) > control.MaxReason:
		return &domain.FieldError{Problem: fmt.Sprintf(
			"want at most %d bytes, this one has %d", control.MaxReason, len(reason))}
	case strings.ContainsFunc(reason, unicode.IsControl):
		return &domain.FieldError{Problem: "want no control characters"}
	}
	return nil
}

// blockUser answers PUT /v1/users/{user}/block.
func blockUser(c *call) (int, any, *Problem) {
	var v control.Value
	ttl := control.MaxTTL
	p := c.read(fields{
		"reason": text(&v.Reason, checkReason),
		"ttl":    seconds(&ttl, control.MaxTTL),
	})
	if p != nil {
		return 0, nil, p
	}
	return c.command(control.Key{Kind: control.Block, Name: c.user}, v, ttl, false)
}

// unblockUser answers DELETE /v1/users/{user}/block.
func unblockUser(c *call) (int, any, *Problem) {
	if p := c.read(nil); p != nil {
		return 0, nil, p
	}
	return c.command(control.Key{Kind: control.Block, Name: c.user}, control.Value{}, 0, true)
}

// A block is the answer to GET /v1/users/{user}/block.
type block struct {
	Blocked bool      `json:"blocked"`
	Reason  string    `json:"reason,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

func getBlock(c *call) (int, any, *Problem) {
	if p := c.read(nil); p != nil {
		return 0, nil, p
	}
	f, ok := c.control.Blocked(c.user)
	if !ok {
		return http.StatusOK, block{}, nil
	}
	return http.StatusOK, block{true, f.Value.Reason, expires(f)}, nil
}

// expires returns when a fact ends. It is rounded to seconds, so that two answers about
// the same fact seldom differ.
func expires(f control.Fact) time.Time { return time.Now().Add(f.Left).Round(time.Second).UTC() }

// revoke answers POST /v1/tokens/revoke.
func revoke(c *call) (int, any, *Problem) {
	var jti, user string
	var before time.Time
	ttl := control.MaxTTL
	p := c.read(fields{
		"jti":           text(&jti, domain.CheckUser),
		"user":          text(&user, domain.CheckUser),
		"issued_before": moment(&before),
		"ttl":           seconds(&ttl, control.MaxTTL),
	})
	switch {
	case p != nil:
		return 0, nil, p
	case jti == "" && user == "":
		return 0, nil, fault("jti", "want the jti of a token, or a user")
	case jti != "" && user != "":
		return 0, nil, fault("user", "want either jti or user, not both")
	case jti != "" && !before.IsZero():
		return 0, nil, fault("issued_before", "it goes with user, not with jti")
	case jti != "":
		k := control.Key{Kind: control.RevokeToken, Name: jti}
		return c.command(k, control.Value{}, ttl, false)
	}
	if before.IsZero() {
		before = time.Now()
	}
	k := control.Key{Kind: control.RevokeUser, Name: user}
	return c.command(k, control.Value{Before: before.UnixMilli()}, ttl, false)
}

// membership returns what the path names.
func (c *call) membership() control.Key {
	return control.Key{
		Kind: control.Membership, System: c.system.String(), Room: c.room, Name: c.user,
	}
}

// addMember answers PUT /v1/systems/{system}/rooms/{room}/members/{user}.
func addMember(c *call) (int, any, *Problem) {
	ttl := control.MaxTTL
	if p := c.read(fields{"ttl": seconds(&ttl, control.MaxTTL)}); p != nil {
		return 0, nil, p
	}
	return c.command(c.membership(), control.Value{}, ttl, false)
}

// removeMember answers DELETE /v1/systems/{system}/rooms/{room}/members/{user}.
func removeMember(c *call) (int, any, *Problem) {
	if p := c.read(nil); p != nil {
		return 0, nil, p
	}
	return c.command(c.membership(), control.Value{}, 0, true)
}
