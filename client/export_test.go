package client

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
	return o.Name, o.message(), nil
}
