package ws

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/ports/session"
)

// A handshake is what a request says by means of WebSocket itself.
type handshake struct {
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
	return negotiate(r)
}

// protocol returns what the Registry has to know of the handshake.
func (h handshake) protocol() session.Protocol {
	p := session.Protocol{Encoder: session.V1Encoder{}, Plain: h.plain, Token: h.token}
	if h.plain {
		p.Encoder = PlainEncoder{}
	}
	return p
}

// checkUpgrade sees to it that the upgrade itself can not fail.
func checkUpgrade(r *http.Request) error {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	switch {
	case r.Method != http.MethodGet:
		return session.Rejected(http.StatusMethodNotAllowed, "want GET")
	case !websocket.IsWebSocketUpgrade(r):
		return session.Rejected(http.StatusUpgradeRequired, "this is a WebSocket endpoint: connect with a WebSocket client")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return session.Rejected(http.StatusUpgradeRequired, "want WebSocket version 13")
	case err != nil || len(key) != 16:
		return session.Rejected(http.StatusBadRequest, "Sec-WebSocket-Key: want 16 bytes in base64")
	}
	return nil
}

// refuse says no, and to who came without an upgrade also what to upgrade to.
func (s *Server) refuse(w http.ResponseWriter, request *http.Request, err error) {
	if r := (*session.Rejection)(nil); errors.As(err, &r) && r.Status == http.StatusUpgradeRequired {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Sec-WebSocket-Version", "13")
	}
	s.registry.Reject(w, request, err)
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
		return handshake{}, session.Rejected(http.StatusUnprocessableEntity, "Sec-WebSocket-Protocol: want %s, %s, or none", V1, Plain)
	case h.token != "":
		// A browser fails a connection whose subprotocols are all declined,
		// and the token must not be echoed.
		return handshake{}, session.Rejected(http.StatusUnprocessableEntity, "Sec-WebSocket-Protocol: name %s or %s beside the token", V1, Plain)
	}
	h.plain = !v1
	return h, nil
}
