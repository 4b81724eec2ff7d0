package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// listsSessions has each node list the sessions that a user has on all of them.
func (p *controlled) listsSessions(t *testing.T) {
	pass := p.pass("sue", nil)
	for _, n := range p.nodes {
		defer p.mustConnect(t, overV1, n.addr, pass, "").shut()
	}
	for _, n := range p.nodes {
		eventually(t, time.Minute, n.name+" lists the sessions on all nodes", func() error {
			r, err := p.ask(n.addr, http.MethodGet, "/v1/users/sue/sessions", "")
			if err != nil {
				return err
			}
			var got struct {
				Sessions []struct{ Node string }
				Complete bool
			}
			if err := json.Unmarshal([]byte(r.body), &got); err != nil {
				return fmt.Errorf("%d %s: %w", r.status, r.body, err)
			}
			var names []string
			for _, s := range got.Sessions {
				names = append(names, s.Node)
			}
			slices.Sort(names)
			if !got.Complete || !slices.Equal(names, p.names()) {
				return fmt.Errorf("got %s", r.body)
			}
			return nil
		})
	}
}
