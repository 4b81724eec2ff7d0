package fanfare

import (
	"context"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/plane"
)

// ErrUnsupported means that the node cannot do this: the control plane is off
// (Config.Control.Disabled), or no presence is kept for the system
// (Config.Presence.Systems).
var ErrUnsupported = domain.ErrUnsupported

// The commands below hold on all nodes. Each is applied here at once, and returns when the
// bus has it or, with a Wait, when all live nodes have applied it. Repeating one is safe.
//
// Their errors wrap ErrInvalid if a name or a value is not allowed; ErrLimit if there are
// more facts than Config.Control.Facts, or too many commands wait; ErrUnsupported if the
// control plane is off; ErrClosed if the node has ended; and ErrBusDown, or the context's
// error, if the bus did not take the command in time: then this node has applied it and
// goes on trying, and the Outcome has an ID.

// An Outcome is what became of a command.
type Outcome struct {
	ID string // of the command, for logs
	// Applied and Pending are the names of live nodes that have applied the command, and
	// of those that have not said so yet, both sorted. They are empty without a Wait. A
	// node that is pending, for example because it is frozen, applies the command when it
	// comes back.
	Applied, Pending []string
}

// Disconnecting says how sessions are closed, and how long to wait for that.
type Disconnecting struct {
	Reason string // what the clients are told; at most 100 bytes
	// Code is the close code: 0, which means 4009, or 4100 to 4999, which are the
	// application's.
	Code int
	// Final tells the clients not to come back by themselves. It refuses nobody: that is
	// what [Node.Block] does.
	Final bool
	Wait  time.Duration // how long to wait for the other nodes; at most 30 s count
}

// Lasting says for how long something is true, and how long to wait until all nodes know.
type Lasting struct {
	TTL  time.Duration // 0 means 366 days, which is the most
	Wait time.Duration // how long to wait for the other nodes; at most 30 s count
}

// Disconnect closes all sessions of a user, on all nodes, with close code 4009. Clients of
// Fanfare's protocol come back after it with a new token, unless o.Final is set. A node that
// cannot be reached does it as soon as it can within two minutes.
func (n *Node) Disconnect(ctx context.Context, user string, o Disconnecting) (Outcome, error) {
	return n.disconnect(ctx, control.Key{Kind: control.Disconnect, Name: user}, o)
}

// DisconnectSession closes one session, by its id, on whatever node it is; otherwise it is
// [Node.Disconnect]. That there is no such session is no error.
func (n *Node) DisconnectSession(ctx context.Context, id string, o Disconnecting) (Outcome, error) {
	return n.disconnect(ctx, control.Key{Kind: control.DisconnectSession, Name: id}, o)
}

func (n *Node) disconnect(ctx context.Context, k control.Key, o Disconnecting) (Outcome, error) {
	v := control.Value{Reason: o.Reason, Code: o.Code, Final: o.Final}
	return n.command(ctx, k, v, control.DisconnectTTL, false, o.Wait)
}

// Block closes the sessions of a user (4003), on all nodes, and refuses new ones (403) until
// o.TTL is over or [Node.Unblock] is called. The reason, of at most 100 bytes, is what the
// clients are told.
func (n *Node) Block(ctx context.Context, user, reason string, o Lasting) (Outcome, error) {
	k := control.Key{Kind: control.Block, Name: user}
	return n.command(ctx, k, control.Value{Reason: reason}, o.TTL, false, o.Wait)
}

// Unblock undoes [Node.Block]. That the user was not blocked is no error. Of o only Wait
// counts.
func (n *Node) Unblock(ctx context.Context, user string, o Lasting) (Outcome, error) {
	return n.command(ctx, control.Key{Kind: control.Block, Name: user}, control.Value{}, 0, true, o.Wait)
}

// RevokeToken refuses the session token with this jti from now on, and closes its sessions
// (4001), on all nodes. o.TTL has to be at least as long as the token is good.
func (n *Node) RevokeToken(ctx context.Context, jti string, o Lasting) (Outcome, error) {
	k := control.Key{Kind: control.RevokeToken, Name: jti}
	return n.command(ctx, k, control.Value{}, o.TTL, false, o.Wait)
}

// RevokeUser refuses all session tokens of a user that were issued before a time, by their
// iat, and closes their sessions (4001), on all nodes. A token without an iat counts as
// issued before any time. o.TTL has to be at least as long as such tokens are good.
func (n *Node) RevokeUser(
	ctx context.Context, user string, before time.Time, o Lasting,
) (Outcome, error) {
	k := control.Key{Kind: control.RevokeUser, Name: user}
	return n.command(ctx, k, control.Value{Before: before.UnixMilli()}, o.TTL, false, o.Wait)
}

// AddMember puts a user into a room: all sessions of the user that are attached to the
// system, present and future, on all nodes, are in the room until o.TTL is over or
// [Node.RemoveMember] is called. It needs no grant of the user's token.
func (n *Node) AddMember(ctx context.Context, system, room, user string, o Lasting) (Outcome, error) {
	return n.command(ctx, memberKey(system, room, user), control.Value{}, o.TTL, false, o.Wait)
}

// RemoveMember undoes [Node.AddMember]. A session that has joined the room by itself stays in
// it. That the user was no member is no error. Of o only Wait counts.
func (n *Node) RemoveMember(ctx context.Context, system, room, user string, o Lasting) (Outcome, error) {
	return n.command(ctx, memberKey(system, room, user), control.Value{}, 0, true, o.Wait)
}

func memberKey(system, room, user string) control.Key {
	return control.Key{Kind: control.Membership, System: system, Room: room, Name: user}
}

func (n *Node) command(
	ctx context.Context, k control.Key, v control.Value, ttl time.Duration, del bool, wait time.Duration,
) (Outcome, error) {
	p, err := n.control()
	if err != nil {
		return Outcome{}, err
	}
	if ttl == 0 {
		ttl = control.MaxTTL
	}
	o, err := p.Command(ctx, k, v, ttl, del, wait)
	if o.ID != "" && k.Kind != control.Membership { // as the HTTP API does
		n.log.Info("a command was given", "command", o.ID, "kind", string(k.Kind), "name", k.Name,
			"undone", del, "by", "this program")
	}
	if err != nil {
		err = fmt.Errorf("fanfare: %s %s: %w", k.Kind, k.Name, err)
	}
	return Outcome(o), err
}

// control returns the node's part in the control plane.
func (n *Node) control() (*plane.Plane, error) {
	if n.parts.plane == nil {
		return nil, fmt.Errorf("fanfare: the control plane is off: %w", ErrUnsupported)
	}
	return n.parts.plane, nil
}

// A Presence says who is in a place, as far as this node knows.
type Presence struct {
	Count int           // users who are there
	Users []PresentUser // some of them, sorted by name
	Next  string        // the After for the next users; "" if there are no more
	// Complete says that this node knows the users of every live node. Otherwise some may
	// be missing, for example because this node has just started.
	Complete bool
}

// A PresentUser is a user who is in a place, with any number of sessions.
type PresentUser struct {
	User     string
	Sessions int       // on all nodes; 0 if the last one ended less than Config.Presence.Grace ago
	Since    time.Time // by this node's clock
}

// Part says which of the users of a place are asked for.
type Part struct {
	After string // users whose names come after this one; "" begins with the first
	Limit int    // at most so many users; 0 means 100, and the most is 1000
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Presence returns who is in a room of a system or, if room is "", who is attached to the
// system: on all nodes, as this node knows it. The error wraps ErrInvalid, or ErrUnsupported
// if no presence is kept for the system.
func (n *Node) Presence(system, room string, part Part) (Presence, error) {
	p, err := n.control()
	if err != nil {
		return Presence{}, err
	}
	s, err := domain.ParseSystem(system)
	if err != nil {
		return Presence{}, fmt.Errorf("fanfare: %w", domain.At("system", err))
	}
	limit := part.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	page, err := p.Presence(control.Place{System: s, Room: room}, part.After, min(limit, maxLimit))
	if err != nil {
		return Presence{}, fmt.Errorf("fanfare: %w", err)
	}
	found := Presence{Count: page.Count, Next: page.Next, Complete: page.Complete}
	for _, u := range page.Users {
		found.Users = append(found.Users, PresentUser{u.User, u.Sessions, time.UnixMilli(u.Since)})
	}
	return found, nil
}

// A NodeInfo is what is known of a live node.
type NodeInfo struct {
	Name        string // Config.Node
	Incarnation string // one run of the node: a ULID, perhaps with an addition
	Version     string // of the software
	Self        bool   // it is the node that was asked

	Sessions, Users int
	Systems         []string      // that it consumes, at most 100 of them
	Lag             time.Duration // of the system that is furthest behind the bus; less than 5 s shows as 0
	Draining        bool

	Heard      time.Duration // how long ago it was heard; 0 for the node that was asked
	ClockAhead time.Duration // how far its clock is ahead of that of the node that was asked, roughly
	InStep     bool          // who is attached to it is known here
}

// Nodes returns the live nodes, this one too, sorted by name. The error wraps ErrUnsupported
// if the control plane is off.
func (n *Node) Nodes() ([]NodeInfo, error) {
	p, err := n.control()
	if err != nil {
		return nil, err
	}
	all := p.Nodes()
	infos := make([]NodeInfo, len(all))
	for i, o := range all {
		infos[i] = NodeInfo{
			Name: o.Name, Incarnation: o.Incarnation, Version: o.Version, Self: o.Self,
			Sessions: o.Status.Sessions, Users: o.Status.Users, Systems: o.Status.Systems,
			Lag: o.Status.Lag, Draining: o.Status.Draining,
			Heard: o.Heard, ClockAhead: o.ClockAhead, InStep: o.InStep,
		}
	}
	return infos, nil
}
