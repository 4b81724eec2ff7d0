package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// A present is a user who is in a place.
type present struct {
	User     string    `json:"user"`
	Sessions int       `json:"sessions" doc:"On all nodes. 0: the last one has just ended."`
	Since    time.Time `json:"since,omitzero" doc:"By the clock of the node that answers."`
}

func presentOf(users []control.Present) []present {
	list := make([]present, len(users)) // not nil, which would be null in JSON
	for i, u := range users {
		list[i] = present{User: u.User, Sessions: u.Sessions}
		if u.Since != 0 {
			list[i].Since = time.UnixMilli(u.Since).UTC()
		}
	}
	return list
}

// A presence is the answer about who is in a place.
type presence struct {
	System   string    `json:"system"`
	Room     string    `json:"room,omitempty"`
	Count    *int      `json:"count,omitempty" doc:"Users in the place, in this answer or not."`
	Users    []present `json:"users"`
	Next     string    `json:"next,omitempty" doc:"There are more users: ask for them with after."`
	AsOf     time.Time `json:"as_of"`
	Complete bool      `json:"complete" doc:"If not, users of some live node may be missing."`
}

// place returns the place in question: the room of the path's system, or if room is ""
// the system itself.
func (c *call) place(room string) control.Place { return control.Place{System: c.system, Room: room} }

// presence returns the beginning of an answer.
func (c *call) presence(room string) presence {
	return presence{
		System: c.system.String(), Room: room, AsOf: time.Now().Truncate(time.Millisecond).UTC(),
	}
}

// getPresence answers GET /v1/systems/{system}/presence.
func getPresence(c *call) (int, any, *Problem) {
	if p := c.read(nil); p != nil {
		return 0, nil, p
	}
	room, p := c.name("room")
	if p != nil {
		return 0, nil, p
	}
	user, p := c.name("user")
	if p != nil {
		return 0, nil, p
	}
	limit, p := c.limit(0)
	if p != nil {
		return 0, nil, p
	}
	if user != "" {
		return c.presenceOf(room, user)
	}
	after, p := c.after()
	if p != nil {
		return 0, nil, p
	}
	// A page of nobody has no last name to go on after, so the smallest page is one user.
	page, err := c.control.Presence(c.place(room), after, max(limit, 1))
	if err != nil {
		return 0, nil, c.unknown(err)
	}
	out := c.presence(room)
	out.Count, out.Complete = &page.Count, page.Complete
	out.Users, out.Next = presentOf(page.Users), page.Next
	if limit == 0 {
		out.Users, out.Next = []present{}, ""
	}
	return http.StatusOK, out, nil
}

// presenceOf answers whether one user is in a place.
func (c *call) presenceOf(room, user string) (int, any, *Problem) {
	for _, name := range []string{"after", "limit"} {
		if _, both := c.query[name]; both {
			return 0, nil, fault(name, "it does not go with user")
		}
	}
	page, err := c.control.Presence(c.place(room), "", 1)
	if err != nil {
		return 0, nil, c.unknown(err)
	}
	out := c.presence(room)
	out.Count = &page.Count
	users, complete, err := c.control.Find(c.place(room), []string{user})
	if err != nil {
		return 0, nil, c.unknown(err)
	}
	out.Users, out.Complete = presentOf(users), complete && page.Complete
	return http.StatusOK, out, nil
}

// unknown returns why it is not known who is there.
func (c *call) unknown(err error) *Problem {
	if errors.Is(err, domain.ErrUnsupported) {
		return problem(http.StatusNotFound, fmt.Sprintf(
			"presence is not kept for system %s: it is not in presence.systems", c.system))
	}
	return c.explain(control.Key{Kind: "presence"}, err)
}

// findPresent answers POST /v1/systems/{system}/presence.
func findPresent(c *call) (int, any, *Problem) {
	var room string
	var users []string
	p := c.read(fields{"room": text(&room, domain.CheckUser), "users": names(&users)})
	switch {
	case p != nil:
		return 0, nil, p
	case users == nil:
		return 0, nil, fault("users", "want an array of names")
	}
	found, complete, err := c.control.Find(c.place(room), users)
	if err != nil {
		return 0, nil, c.unknown(err)
	}
	out := c.presence(room)
	out.Users, out.Complete = presentOf(found), complete
	return http.StatusOK, out, nil
}

// The body of findPresent has at most this many users, and so this many bytes: in the
// longest form of a name each byte is six, such as \u0061.
const (
	maxUsers    = 1000
	usersObject = (maxUsers+1)*(6*domain.MaxName+8) + smallObject
)

var errTooManyUsers = &domain.FieldError{Problem: fmt.Sprintf("want at most %d users", maxUsers)}

// names reads an array of different names. The result is not nil, even if it is empty.
func names(into *[]string) func([]byte) error {
	return func(value []byte) error {
		if value[0] != '[' {
			return &domain.FieldError{Problem: "want an array of names"}
		}
		*into = []string{}
		seen := map[string]bool{}
		return jsontext.Array(value, func(element []byte) error {
			i := len(*into)
			if i == maxUsers {
				return errTooManyUsers
			}
			name, err := jsontext.String(element)
			switch {
			case err != nil:
				err = fmt.Errorf("[%d]: %w", i, err)
			case seen[name]:
				err = domain.At(fmt.Sprintf("[%d]", i), &domain.FieldError{Problem: "it is there twice"})
			default:
				err = domain.At(fmt.Sprintf("[%d]", i), domain.CheckUser(name))
			}
			*into, seen[name] = append(*into, name), true
			return err
		})
	}
}

// A member is a user whom the server has put into a room.
type member struct {
	User    string    `json:"user"`
	Expires time.Time `json:"expires"`
}

// memberList is the answer to GET /v1/systems/{system}/rooms/{room}/members.
type memberList struct {
	Members []member `json:"members"`
	Next    string   `json:"next,omitempty" doc:"There are more members: ask for them with after."`
}

func listMembers(c *call) (int, any, *Problem) {
	if p := c.read(nil); p != nil {
		return 0, nil, p
	}
	limit, p := c.limit(1)
	if p != nil {
		return 0, nil, p
	}
	after, p := c.after()
	if p != nil {
		return 0, nil, p
	}
	facts := c.control.Members(c.system, c.room, after, limit+1)
	out := memberList{Members: make([]member, 0, len(facts))}
	for _, f := range facts {
		if len(out.Members) == limit {
			out.Next = out.Members[limit-1].User
			break
		}
		out.Members = append(out.Members, member{f.Key.Name, expires(f)})
	}
	return http.StatusOK, out, nil
}

// isMember is the answer to GET /v1/systems/{system}/rooms/{room}/members/{user}.
type isMember struct {
	Member  bool      `json:"member"`
	Expires time.Time `json:"expires,omitzero"`
}

func getMember(c *call) (int, any, *Problem) {
	if p := c.read(nil); p != nil {
		return 0, nil, p
	}
	f, ok := c.control.Member(c.system, c.room, c.user)
	if !ok {
		return http.StatusOK, isMember{}, nil
	}
	return http.StatusOK, isMember{true, expires(f)}, nil
}

// A nodeInfo is what is known of a live node.
type nodeInfo struct {
	Name         string   `json:"name"`
	Incarnation  string   `json:"incarnation" doc:"Another one after each start of the node."`
	Version      string   `json:"version"`
	Self         bool     `json:"self" doc:"It is the node that answers."`
	Sessions     int      `json:"sessions"`
	Users        int      `json:"users"`
	Systems      []string `json:"systems" doc:"At most 100."`
	LagMS        int64    `json:"lag_ms" doc:"Of the system that is furthest behind the bus."`
	Draining     bool     `json:"draining"`
	HeardMS      int64    `json:"heard_ms" doc:"How long ago this node heard something of it."`
	ClockAheadMS int64    `json:"clock_ahead_ms" doc:"How far its clock is ahead of this node's."`
	InStep       bool     `json:"in_step" doc:"This node knows who is attached to it."`
}

// nodeList is the answer to GET /v1/nodes.
type nodeList struct {
	Nodes []nodeInfo `json:"nodes"`
}

func listNodes(c *call) (int, any, *Problem) {
	if p := c.read(nil); p != nil {
		return 0, nil, p
	}
	nodes := c.control.Nodes()
	out := nodeList{make([]nodeInfo, len(nodes))}
	for i, n := range nodes {
		out.Nodes[i] = describeNode(n)
	}
	return http.StatusOK, out, nil
}

func describeNode(n control.NodeInfo) nodeInfo {
	return nodeInfo{
		Name: n.Name, Incarnation: n.Incarnation, Version: n.Version, Self: n.Self,
		Sessions: n.Status.Sessions, Users: n.Status.Users,
		Systems:  append([]string{}, n.Status.Systems...), // not nil, which would be null in JSON
		LagMS:    n.Status.Lag.Milliseconds(),
		Draining: n.Status.Draining, InStep: n.InStep,
		HeardMS: n.Heard.Milliseconds(), ClockAheadMS: n.ClockAhead.Milliseconds(),
	}
}
