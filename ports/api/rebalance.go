package api

import (
	"fmt"
	"net/http"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// defaultRate is how many sessions a second are asked to go if the request does not say.
const defaultRate = 50

// rebalance answers POST /v1/nodes/{node}/rebalance.
func rebalance(c *call) (int, any, *Problem) {
	v := control.Value{Rate: defaultRate}
	p := c.read(fields{
		"rate":     whole(&v.Rate, control.MaxRate),
		"sessions": whole(&v.Sessions, control.MaxSessions),
	})
	if p != nil {
		return 0, nil, p
	}
	return c.rebalance(v)
}

// stopRebalance answers DELETE /v1/nodes/{node}/rebalance.
func stopRebalance(c *call) (int, any, *Problem) {
	if p := c.read(nil); p != nil {
		return 0, nil, p
	}
	return c.rebalance(control.Value{})
}

// rebalance gives a command to the node that the path names.
func (c *call) rebalance(v control.Value) (int, any, *Problem) {
	incarnation := control.Newest(c.control.Nodes(), c.node)
	if incarnation == "" {
		return 0, nil, problem(http.StatusNotFound, fmt.Sprintf("there is no live node %s", c.node))
	}
	k := control.Key{Kind: control.Rebalance, Name: incarnation}
	return c.command(k, v, control.DisconnectTTL, false)
}

// whole reads a whole number from 1 to most.
func whole(into *int, most int64) func([]byte) error {
	return func(value []byte) error {
		n, err := jsontext.Int(value)
		if err == nil && (n < 1 || n > most) {
			err = &domain.FieldError{Problem: fmt.Sprintf("want a whole number from 1 to %d", most)}
		}
		*into = int(n)
		return err
	}
}
