package control

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
)

// known reports whether this version of the program knows a kind. Later versions may
// have others, which are passed over.
func (k Kind) known() bool {
	switch k {
	case Block, Disconnect, DisconnectSession, RevokeToken, RevokeUser, Rebalance, Membership:
		return true
	}
	return false
}

// check returns a [domain.FieldError] unless the key can be that of a fact.
func (k Key) check() error {
	if !k.Kind.known() {
		return fault("kind", "%.40q is not a kind of fact", string(k.Kind))
	}
	if err := domain.CheckUser(k.Name); err != nil {
		return domain.At("name", err)
	}
	if k.Kind != Membership {
		if k.System != "" || k.Room != "" {
			return fault("system", "only a membership has a system and a room")
		}
		return nil
	}
	if _, err := domain.ParseSystem(k.System); err != nil {
		return domain.At("system", err)
	}
	if _, err := domain.RoomTarget(k.Room); err != nil {
		return domain.At("room", err)
	}
	return nil
}

// The close codes that a Disconnect may have.
const (
	codeDisconnected = 4009
	codeCustomFirst  = 4100
	codeCustomLast   = 4999
)

// check returns a [domain.FieldError] unless the value can be that of a fact.
func (v Value) check() error {
	switch {
	case len(v.Reason) > MaxReason:
		return fault("reason", "a reason has at most %d bytes, this one has %d", MaxReason, len(v.Reason))
	case !utf8.ValidString(v.Reason) || strings.ContainsFunc(v.Reason, unicode.IsControl):
		return fault("reason", "a reason is valid UTF-8 without control characters")
	case v.Code != 0 && v.Code != codeDisconnected && (v.Code < codeCustomFirst || v.Code > codeCustomLast):
		return fault("code", "a close code is %d, or from %d to %d",
			codeDisconnected, codeCustomFirst, codeCustomLast)
	case v.Before < 0:
		return fault("before", "a time is not before 1970")
	case v.Rate < 0 || v.Rate > MaxRate:
		return fault("rate", "a rate is from 1 to %d sessions a second", MaxRate)
	case v.Sessions < 0 || v.Sessions > MaxSessions:
		return fault("sessions", "at most %d sessions", MaxSessions)
	}
	return nil
}

// of returns the value with only those fields that count for a kind, so that it means
// the same on a node of any version.
func (v Value) of(k Kind) Value {
	switch k {
	case Block:
		return Value{Reason: v.Reason}
	case Disconnect, DisconnectSession:
		return Value{Reason: v.Reason, Code: v.Code, Final: v.Final}
	case RevokeUser:
		return Value{Before: v.Before}
	case Rebalance:
		return Value{Rate: v.Rate, Sessions: v.Sessions}
	}
	return Value{}
}

func fault(path, format string, args ...any) error {
	return &domain.FieldError{Path: path, Problem: fmt.Sprintf(format, args...)}
}
