package ws

import (
	"crypto/sha1" // as RFC 6455 wants it; no security depends on it
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/ports/session"
)

// A handshake is what a request says by means of WebSocket itself.
type handshake struct {
	key         string // a challenge, which the answer proves to have read
	plain       bool
	subprotocol string // to be named in the answer; "" for none
	token       string // from among the subprotocols; "" for none
}

// tokenProtocol begins the subprotocol in which browsers can send a token.
const tokenProtocol = "fanfare.token."

// readHandshake reads a request's headers.
func readHandshake(r *http.Request) (h handshake, err error) {
	if err := checkUpgrade(r); err != nil {
		return handshake{}, err
	}
	h, err = negotiate(r)
	h.key = r.Header.Get("Sec-WebSocket-Key")
	return h, err
}

// answer returns the answer that completes the handshake ([RFC 6455 §4.2.2]).
//
// [RFC 6455 §4.2.2]: https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2
func (h handshake) answer() []byte {
	accept := sha1.Sum([]byte(h.key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	b := append(make([]byte, 0, 192), "HTTP/1.1 101 Switching Protocols\r\n"+
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = base64.StdEncoding.AppendEncode(b, accept[:])
	if h.subprotocol != "" {
		b = append(b, "\r\nSec-WebSocket-Protocol: "...)
		b = append(b, h.subprotocol...)
	}
	return append(b, "\r\n\r\n"...)
}

// protocol returns what the [session.Registry] has to know of the handshake.
func (h handshake) protocol() session.Protocol {
	p := session.Protocol{Encoder: session.V1Encoder{}, Plain: h.plain, Token: h.token}
	if h.plain {
		p.Encoder = PlainEncoder{}
	}
	return p
}

// checkUpgrade refuses requests that are no handshake of a client ([RFC 6455 §4.2.1]).
//
// [RFC 6455 §4.2.1]: https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1
func checkUpgrade(r *http.Request) error {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	switch {
	case r.Method != http.MethodGet:
		return session.Rejected(http.StatusMethodNotAllowed, "want GET")
	case !websocket.IsWebSocketUpgrade(r):
		return session.Rejected(http.StatusUpgradeRequired,
			"this is a WebSocket endpoint: connect with a WebSocket client")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return session.Rejected(http.StatusUpgradeRequired, "want WebSocket version 13")
	case err != nil || len(key) != 16:
		return session.Rejected(http.StatusBadRequest,
			"Sec-WebSocket-Key: want 16 bytes in base64")
	}
	return nil
}

// reject answers a request that gets no session. A client that did not ask for an
// upgrade is told what to upgrade to ([RFC 9110 §15.5.22]).
//
// [RFC 9110 §15.5.22]: https://www.rfc-editor.org/rfc/rfc9110#section-15.5.22
func (s *Server) reject(w http.ResponseWriter, r *http.Request, err error) {
	var rejection *session.Rejection
	if errors.As(err, &rejection) && rejection.Status == http.StatusUpgradeRequired {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Sec-WebSocket-Version", "13")
	}
	s.registry.Reject(w, r, err)
}

// negotiate picks the subprotocol, and finds the token among those that are offered.
func negotiate(r *http.Request) (h handshake, err error) {
	var others, v1 bool
	var tokens []string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			p = strings.TrimSpace(p)
			switch {
			case strings.HasPrefix(p, tokenProtocol):
				tokens = append(tokens, p[len(tokenProtocol):])
			case p == V1:
				v1 = true
			case p == Plain:
				h.subprotocol = Plain
			default:
				others = others || p != ""
			}
		}
	}
	if h.token, err = session.OneToken("Sec-WebSocket-Protocol", tokens); err != nil {
		return handshake{}, err
	}
	switch {
	case v1:
		h.subprotocol = V1
	case h.subprotocol == Plain:
	case others:
		return handshake{}, session.Rejected(http.StatusUnprocessableEntity,
			"Sec-WebSocket-Protocol: want %s, %s, or none", V1, Plain)
	case h.token != "":
		// Browsers close a connection of which no subprotocol was accepted, and the
		// one with the token must not be repeated in the answer.
		return handshake{}, session.Rejected(http.StatusUnprocessableEntity,
			"Sec-WebSocket-Protocol: name %s or %s beside the token", V1, Plain)
	}
	h.plain = !v1
	return h, nil
}
