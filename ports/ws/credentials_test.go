package ws_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

func TestWrongTokensOfOneAddressAreLimited(t *testing.T) {
	n := serve(t, config{registry: session.Config{FailureRate: session.Rate{Messages: 0.2}}})
	for range 2 {
		if _, resp, _ := n.try("alice/bad", "systems=orders", nil); resp.StatusCode != 401 {
			t.Fatalf("got %d", resp.StatusCode)
		}
	}
	_, resp, _ := n.try("alice/bad", "systems=orders", nil)
	if resp == nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("want 429 with Retry-After, got %v", resp)
	}
	// Clients with good tokens share the address.
	n.v1("alice", "systems=orders")
}

// Any page can make a browser send such requests, as often as it likes.
func TestRequestsWithoutAWrongTokenLockNobodyOut(t *testing.T) {
	n := serve(t, config{registry: session.Config{FailureRate: session.Rate{Messages: 0.1}}})
	base := "http" + strings.TrimPrefix(n.url, "ws") + "/ws?systems=orders"
	v1 := http.Header{"Sec-Websocket-Protocol": {ws.V1}}
	for range 3 {
		resp, err := http.Get(base) // as <img src> does
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		for _, test := range []struct {
			token, query string
			header       http.Header
		}{
			{"alice", "systems=orders", http.Header{"Origin": {"https://evil.example"}}},
			{"", "systems=orders", v1},
			{"", "systems=orders", http.Header{"Cookie": {"fanfare_token=alice"}}},
			{"", "systems=orders", http.Header{"Authorization": {"Basic YTpi"}}},
			{"", "systems=orders", http.Header{"Cookie": {"fanfare_token=a; fanfare_token=b"}}},
			{"alice/orders", "systems=chat", v1},
			{"alice/lobby", "systems=chat&rooms=chat/attic", v1},
			{"alice", "systems=unknown", v1},
			{"alice", "", v1},
			{"alice", "systems=%zz", v1},
			{"alice/late", "systems=orders", v1}, // the Authenticator fails
		} {
			if _, resp, err := n.try(test.token, test.query, test.header.Clone()); err == nil || resp.StatusCode == 429 {
				t.Errorf("%+v: %v", test, resp)
			}
		}
	}
	if _, resp, _ := n.try("alice/bad", "systems=orders", nil); resp.StatusCode != 401 {
		t.Errorf("the first wrong token: %v, want 401", resp)
	}
}

func TestForeignCredentialsArePassedOver(t *testing.T) {
	n := serve(t, config{registry: session.Config{QueryToken: true}})
	host := strings.TrimPrefix(n.url, "ws://")
	for _, foreign := range [][]string{{"Basic YTpi"}, {"Negotiate YII="}, {"Digest username=x"}, {""}, {"Bearertoken"}, {"YTpi"}, {"Basic YTpi", "Negotiate x"}} {
		for name, h := range map[string]http.Header{
			"subprotocol": {"Sec-Websocket-Protocol": {"fanfare.token.alice, " + ws.V1}},
			"cookie":      {"Cookie": {"fanfare_token=alice"}, "Origin": {"http://" + host}, "Sec-Websocket-Protocol": {ws.V1}},
			"query":       {"Sec-Websocket-Protocol": {ws.V1}},
			"header":      {"Sec-Websocket-Protocol": {ws.V1}},
		} {
			query := "systems=orders"
			if name == "query" {
				query += "&token=alice"
			}
			h["Authorization"] = append([]string{}, foreign...)
			if name == "header" {
				h["Authorization"] = append(h["Authorization"], "bearer  alice")
			}
			if _, _, err := n.try("", query, h); err != nil {
				t.Errorf("%q beside a token in the %s: %v", foreign, name, err)
			}
		}
	}
}

func TestTwoTokensFromTheSameSourceAreRefused(t *testing.T) {
	n := serve(t, config{registry: session.Config{QueryToken: true}})
	host := "http://" + strings.TrimPrefix(n.url, "ws://")
	v1 := []string{ws.V1}
	for name, test := range map[string]struct {
		query  string
		header http.Header
		status int
	}{
		"headers":               {"", http.Header{"Authorization": {"Bearer alice", "Bearer bob"}}, 401},
		"one header":            {"", http.Header{"Authorization": {"Bearer alice/bad, Bearer alice"}}, 401},
		"the same header twice": {"", http.Header{"Authorization": {"Bearer alice", "bearer alice"}}, 101},
		"no token in a header":  {"", http.Header{"Authorization": {"Bearer "}, "Cookie": {"fanfare_token=alice"}, "Origin": {host}}, 401},
		"cookies":               {"", http.Header{"Cookie": {"fanfare_token=alice; fanfare_token=bob"}, "Origin": {host}}, 401},
		"lines of cookies":      {"", http.Header{"Cookie": {"fanfare_token=alice", "fanfare_token=bob"}, "Origin": {host}}, 401},
		"the same cookie twice": {"", http.Header{"Cookie": {"fanfare_token=alice; fanfare_token=alice"}, "Origin": {host}}, 101},
		"subprotocols":          {"", http.Header{"Sec-Websocket-Protocol": {ws.V1, "fanfare.token.alice", "fanfare.token.bob"}}, 401},
		"the same one twice":    {"", http.Header{"Sec-Websocket-Protocol": {ws.V1, "fanfare.token.alice, fanfare.token.alice"}}, 101},
		"parameters":            {"&token=alice&token=bob", nil, 401},
		"the same twice":        {"&token=alice&token=alice", nil, 101},
		"different places":      {"&token=bob", http.Header{"Authorization": {"Bearer alice"}}, 101},
	} {
		if test.header == nil {
			test.header = http.Header{}
		}
		if test.header["Sec-Websocket-Protocol"] == nil {
			test.header["Sec-Websocket-Protocol"] = v1
		}
		c, resp, err := n.try("", "systems=orders"+test.query, test.header)
		if resp == nil || resp.StatusCode != test.status {
			t.Errorf("%s: %v %v", name, resp, err)
		}
		if err == nil && !strings.Contains(c.wants(`{"op":"hello"`), `"user":"alice"`) {
			t.Errorf("%s: not alice", name)
		}
	}
}
