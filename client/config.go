package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// A Config says where to connect and what to receive. URL and Systems are required.
type Config struct {
	// URL is the address of a node or a load balancer, such as
	// https://push.example.com. A query in it is kept: ?user=alice names the user at a
	// node in development, which has no tokens.
	URL string
	// Systems are those to receive messages from.
	Systems []string
	// Rooms are those to be in from the beginning, each as system/room. What the
	// client missed in them while it was away is sent again, as for systems. Rooms
	// that do not fit into the address of the connection are joined once the node has
	// said hello. If the node refuses one of these, Handler.Left is called with the
	// code of the refusal as its reason.
	Rooms []string
	// Resume holds cursors, by system, from which to continue: what Cursors returned
	// in an earlier run of the program.
	Resume map[string]string
	// From holds cursors, by system, at which the program has read the state that the
	// messages change: see [Config.FetchCursor]. The first connection begins there. It
	// counts where Resume has the system, too.
	From map[string]string
	// Last says, by system, which of the latest messages to begin with where the client has
	// no cursor.
	Last map[string]Last
	// Token returns a session token that is valid now. It is called before each
	// connection and, if the token is a JWT with an expiry time, again before that
	// time. It is not called concurrently. Its errors count as a lost connection.
	// Nil means that no token is sent.
	Token func(ctx context.Context) (string, error)
	// Handler is called for what the node sends.
	Handler Handler

	// FirstPause is the upper bound of the random time before the client connects
	// again. The bound doubles with each connection that did not last. Default 1 s.
	FirstPause time.Duration
	// MaxPause is the greatest value of that bound; default 30 s.
	MaxPause time.Duration
	// Timeout bounds the handshake, each write, and the wait for an answer to what
	// the Handler asks of the node; default 10 s.
	Timeout time.Duration
	// Silence is how long a connection may bring nothing, not even a ping, before the
	// client gives it up; default 90 s. Nodes ping more often than that.
	Silence time.Duration
	// QueueBytes is how much may wait for the Handler before the client stops
	// reading; default 1 MiB. While a call such as Send waits for its answer, it is
	// eight times as much, so that the Handler can make such calls.
	QueueBytes int
	// FrameBytes is the size of the largest frame that the client reads; default 16 MiB.
	FrameBytes int64
	// SendBytes is the size of the largest op that the client sends; default 92 KiB. A
	// node closes the session of a client that sends more than it reads. The default
	// has space for the 64 KiB of data that nodes allow, also in base64.
	SendBytes int

	// Dialer connects. Its Subprotocols and HandshakeTimeout are not used. The default
	// uses the proxy that the environment names.
	Dialer *websocket.Dialer
	// Logger takes what the Handler has no function for. The default writes nothing.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	for p, fallback := range map[*time.Duration]time.Duration{
		&c.FirstPause: time.Second, &c.MaxPause: 30 * time.Second,
		&c.Timeout: 10 * time.Second, &c.Silence: 90 * time.Second,
	} {
		if *p == 0 {
			*p = fallback
		}
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = 1 << 20
	}
	if c.FrameBytes == 0 {
		c.FrameBytes = 16 << 20
	}
	if c.SendBytes == 0 {
		c.SendBytes = 92 << 10
	}
	if c.Dialer == nil {
		c.Dialer = &websocket.Dialer{Proxy: http.ProxyFromEnvironment}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// systemName matches what nodes accept as the name of a system.
var systemName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// Validate joins all faults of the settings. URL and Systems must be set; zero is valid
// for all others.
func (c Config) Validate() error {
	var faults []error
	if _, err := c.endpoint(); err != nil {
		faults = append(faults, err)
	}
	if len(c.Systems) == 0 || slices.Contains(c.Systems, "") {
		faults = append(faults, errors.New("client: Systems: want at least one name"))
	}
	for _, name := range c.Systems {
		if name != "" && !systemName.MatchString(name) {
			faults = append(faults,
				fmt.Errorf("client: Systems: %q: want a name of a-z, 0-9, _ and -", name))
		}
	}
	for _, name := range c.Rooms {
		system, room, _ := strings.Cut(name, "/")
		if room == "" || !slices.Contains(c.Systems, system) {
			faults = append(faults,
				fmt.Errorf("client: Rooms: %q: want system/room, of a system in Systems", name))
		}
	}
	for name, last := range c.Last {
		if err := last.check(); err != nil {
			faults = append(faults, fmt.Errorf("client: Last: %s: %w", name, err))
		}
	}
	for name, negative := range map[string]bool{
		"FirstPause": c.FirstPause < 0, "MaxPause": c.MaxPause < 0, "Timeout": c.Timeout < 0,
		"Silence": c.Silence < 0, "QueueBytes": c.QueueBytes < 0, "FrameBytes": c.FrameBytes < 0,
		"SendBytes": c.SendBytes < 0,
	} {
		if negative {
			faults = append(faults, fmt.Errorf("client: %s: must not be negative", name))
		}
	}
	return errors.Join(faults...)
}

// endpoint returns the address at which a node accepts WebSockets.
func (c Config) endpoint() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return nil, errors.New("client: URL: cannot be read: want http://host:port")
	}
	switch u.Scheme {
	case "http", "ws":
		u.Scheme = "ws"
	case "https", "wss":
		u.Scheme = "wss"
	default:
		return nil, fmt.Errorf("client: URL: %q: want http or https", u.Redacted())
	}
	u.Fragment, u.RawFragment = "", ""
	return u.JoinPath("ws"), nil
}
