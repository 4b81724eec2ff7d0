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

// A Config says where to connect, and for what. URL and Systems are required.
type Config struct {
	// URL is a node's or a load balancer's, such as https://push.example.com. A
	// query in it is kept: at a node in development ?user=alice says who to be.
	URL string
	// Systems are those to receive from.
	Systems []string
	// Rooms are those to be in from the beginning, as system/room. What was
	// missed in them is made up for, too. Rooms for which an address has no space
	// are joined when the node has said hello; one that is refused then is told
	// to Handler.Left, with the code as the reason.
	Rooms []string
	// Resume says where to go on, by system: what Cursors returned once.
	Resume map[string]string
	// Token returns a session token that is good now. It is called before each
	// connection and, if tokens are JWTs that expire, before they do; never
	// twice at a time. Its errors count as a lost connection. Nil: no token.
	Token func(ctx context.Context) (string, error)
	// Handler is called with what the node says.
	Handler Handler

	// FirstPause bounds the random time before the client comes back. The bound
	// doubles with each connection that did not last; default 1 s.
	FirstPause time.Duration
	// MaxPause is the greatest bound; default 30 s.
	MaxPause time.Duration
	// Timeout is for the handshake, for each write, and for the answer to what
	// the Handler asks; default 10 s.
	Timeout time.Duration
	// Silence is after how long without a word or a ping the connection is
	// given up; nodes ping more often; default 90 s.
	Silence time.Duration
	// QueueBytes is how much may wait for the Handler before the client stops
	// reading; default 1 MiB. While calls such as Send wait for their answer it
	// is eight times as much, so that a Handler may make them.
	QueueBytes int
	// FrameBytes is the largest frame that is read; default 16 MiB.
	FrameBytes int64
	// SendBytes is the largest op that is sent, as nodes close the session of
	// whoever sends more than they read; default 92 KiB, which takes the 64 KiB of
	// data that they allow, in base64, too.
	SendBytes int

	// Dialer connects. Default: one with the environment's proxy. Its
	// Subprotocols and HandshakeTimeout are not used.
	Dialer *websocket.Dialer
	// Logger is told what no function of the Handler is told. Default: nobody.
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

// systemName is what nodes take for the name of a system.
var systemName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// Validate says everything that is wrong with the settings; a zero value other
// than URL and Systems is right.
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
			faults = append(faults, fmt.Errorf("client: Systems: %q: want a name of a-z, 0-9, _ and -", name))
		}
	}
	for _, name := range c.Rooms {
		if system, room, _ := strings.Cut(name, "/"); room == "" || !slices.Contains(c.Systems, system) {
			faults = append(faults, fmt.Errorf("client: Rooms: %q: want system/room, of a system in Systems", name))
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

// endpoint is where a node takes WebSockets.
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
