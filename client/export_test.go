package client

import "fmt"

// Functions that tests call though they are not exported.
var (
	KeepFor    = keepFor
	Backoff    = backoff
	RetryAfter = retryAfter
)

// Parse reads an op, and makes what the functions of a Handler would get.
func Parse(raw []byte) (name string, m *Message, err error) {
	o, err := parse(raw)
	if err != nil {
		return "", nil, err
	}
	o.gap()
	o.hello()
	o.presence()
	if c := o.disconnect(); c.Code < 1000 || c.Code > 4999 {
		return "", nil, fmt.Errorf("the code %d is none", c.Code)
	}
	return o.Name, o.message(), nil
}
