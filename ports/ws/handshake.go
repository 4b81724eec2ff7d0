package ws

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/ports/session"
)

// A handshake is what a request asks for by means of WebSocket itself.
type handshake struct {
	plain    bool
	protocol string // to be answered; "" for none
}

// tokenProtocol is where browsers can put a token.
const tokenProtocol = "fanfare.token."

// terms reads a request's headers.
func (h *handshake) terms(r *http.Request) (session.Protocol, error) {
	if err := checkUpgrade(r); err != nil {
		return session.Protocol{}, err
	}
	token, err := h.negotiate(r)
	if h.plain {
		return session.Protocol{Encoder: PlainEncoder{}, Plain: true, Token: token}, err
	}
	return session.Protocol{Encoder: session.V1Encoder{}, Token: token}, err
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

// negotiate picks the protocol and returns the token among the subprotocols.
func (h *handshake) negotiate(r *http.Request) (token string, err error) {
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
				h.protocol = Plain
			default:
				others = others || p != ""
			}
		}
	}
	if token, err = session.OneToken("Sec-WebSocket-Protocol", tokens); err != nil {
		return "", err
	}
	switch {
	case v1:
		h.protocol = V1
	case h.protocol == Plain:
	case others:
		return "", session.Rejected(http.StatusUnprocessableEntity, "Sec-WebSocket-Protocol: want %s, %s, or none", V1, Plain)
	case token != "":
		// A browser fails a connection whose subprotocols are all declined,
		// and the token must not be echoed.
		return "", session.Rejected(http.StatusUnprocessableEntity, "Sec-WebSocket-Protocol: name %s or %s beside the token", V1, Plain)
	}
	h.plain = !v1
	return token, nil
}
