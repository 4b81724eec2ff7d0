package client

// What tests look at from within.
var (
	KeepFor    = keepFor
	Backoff    = backoff
	RetryAfter = retryAfter
)

// Parse reads an op, and makes of it all that a Handler could get.
func Parse(raw []byte) (name string, m *Message, err error) {
	o, err := parse(raw)
	if err != nil {
		return "", nil, err
	}
	o.gap()
	o.hello()
	return o.Name, o.message(), nil
}
