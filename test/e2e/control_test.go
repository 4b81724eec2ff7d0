package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// controlled are nodes whose control plane a test uses: processes behind nginx, or the
// nodes of a test/cluster. Its methods do not fail the test unless they say so.
type controlled struct {
	t     *testing.T
	nodes []place // in the order in which they were started
	front string  // host:port of the load balancer
	key   string  // of the API
	sign  func(jwt.MapClaims) string
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	http  *http.Client // without a timeout, for streams of events
}

// A place is where a node is reached.
type place struct{ name, addr string }

// controlled returns how to reach the cluster's nodes.
func (c *cluster) controlled() *controlled {
	dial := (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	p := &controlled{t: c.t, front: c.front, key: c.key, sign: c.sign, dial: dial}
	p.http = &http.Client{Transport: &http.Transport{DialContext: dial}}
	c.t.Cleanup(p.http.CloseIdleConnections)
	for _, n := range c.nodes {
		p.nodes = append(p.nodes, place{n.name, n.addr})
	}
	return p
}

// names returns the names of the nodes, sorted.
func (p *controlled) names() (all []string) {
	for _, n := range p.nodes {
		all = append(all, n.name)
	}
	slices.Sort(all)
	return all
}

// A reply is what the HTTP API has answered.
type reply struct {
	status int
	header http.Header
	body   string
	begun  time.Time // when the request was made
	took   time.Duration
}

// ask calls the API of a node, or of whichever node is behind the front.
func (p *controlled) ask(addr, method, path, body string) (r reply, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		return r, err
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	r.begun = time.Now()
	res, err := p.http.Do(req)
	if err != nil {
		return r, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	r.status, r.header, r.body, r.took = res.StatusCode, res.Header, string(b), time.Since(r.begun)
	return r, err
}

// An outcome is what a command that was waited for answers.
type outcome struct {
	ID               string
	Applied, Pending []string
	reply            reply
}

// command makes a request that waits for all nodes, and fails the test if it is refused.
func (p *controlled) command(t *testing.T, addr, method, path, body string) (o outcome) {
	t.Helper()
	r, err := p.ask(addr, method, path+"?wait=2s", body)
	if err != nil || r.status != http.StatusOK {
		t.Fatalf("%s %s %s: %d %s %v", method, path, body, r.status, r.body, err)
	}
	if err := json.Unmarshal([]byte(r.body), &o); err != nil || o.ID == "" {
		t.Fatalf("%s %s: %s: %v", method, path, r.body, err)
	}
	o.reply = r
	return o
}

// everywhere makes a request that waits, and wants all nodes to have done it.
func (p *controlled) everywhere(t *testing.T, addr, method, path, body string) (o outcome) {
	t.Helper()
	o = p.command(t, addr, method, path, body)
	if !slices.Equal(o.Applied, p.names()) || len(o.Pending) > 0 {
		t.Errorf("%s %s: applied by %v, pending on %v after %v; want all of %v", method, path, o.Applied, o.Pending, o.reply.took, p.names())
	}
	return o
}

// read gets something from a node's API into what answer points to; it returns an error
// unless the status is 200.
func (p *controlled) read(addr, path string, answer any) error {
	r, err := p.ask(addr, http.MethodGet, path, "")
	if err != nil {
		return err
	}
	if r.status != http.StatusOK {
		return fmt.Errorf("%s: %d %s", path, r.status, r.body)
	}
	return json.Unmarshal([]byte(r.body), answer)
}

// presence is who is somewhere, as a node says.
type presence struct {
	Count    int
	Complete bool
	Next     string
	Users    []struct {
		User     string
		Sessions int
	}
}

func (w *presence) names() (all []string) {
	for _, u := range w.Users {
		all = append(all, u.User)
	}
	return all
}

// who returns everyone in a room of orders, or attached to it where room is "".
func (p *controlled) who(addr, room string) (all presence, err error) {
	query := url.Values{"limit": {"1000"}}
	if room != "" {
		query.Set("room", room)
	}
	for {
		var page presence
		if err := p.read(addr, "/v1/systems/orders/presence?"+query.Encode(), &page); err != nil {
			return all, err
		}
		all.Count, all.Complete = page.Count, page.Complete
		all.Users = append(all.Users, page.Users...)
		if page.Next == "" {
			return all, nil
		}
		query.Set("after", page.Next)
	}
}

// wantPresent waits until each node says that exactly these users are there.
func (p *controlled) wantPresent(t *testing.T, within time.Duration, room string, users ...string) {
	t.Helper()
	slices.Sort(users)
	for _, n := range p.nodes {
		eventually(t, within, fmt.Sprintf("%s says that %d users are in %q", n.name, len(users), room), func() error {
			w, err := p.who(n.addr, room)
			if err != nil {
				return err
			}
			if !slices.Equal(w.names(), users) || w.Count != len(users) || !w.Complete {
				return fmt.Errorf("it says %d, complete %t: %.300s", w.Count, w.Complete, fmt.Sprint(w.names()))
			}
			return nil
		})
	}
}

// live returns the names of the nodes that a node says there are, sorted.
func (p *controlled) live(addr string) (names []string, err error) {
	var all struct {
		Nodes []struct{ Name, Incarnation string }
	}
	err = p.read(addr, "/v1/nodes", &all)
	for _, n := range all.Nodes {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names, err
}

// wantLive waits until a node says that exactly these nodes live.
func (p *controlled) wantLive(t *testing.T, within time.Duration, at place, names ...string) {
	t.Helper()
	slices.Sort(names)
	eventually(t, within, fmt.Sprintf("%s says that %v live", at.name, names), func() error {
		got, err := p.live(at.addr)
		if err == nil && !slices.Equal(got, names) {
			err = fmt.Errorf("it says %v", got)
		}
		return err
	})
}

// publish publishes a number to a target of orders, and fails the test if it is refused.
func (p *controlled) publish(t *testing.T, to string, number int) {
	t.Helper()
	r, err := p.ask(p.front, http.MethodPost, "/v1/systems/orders/messages", fmt.Sprintf(`{"to":%q,"data":%d}`, to, number))
	if err != nil || r.status != http.StatusAccepted {
		t.Fatalf("publish to %s: %d %s %v", to, r.status, r.body, err)
	}
}
