package e2e_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfarebus/fanfare"
	inprocess "github.com/fanfarebus/fanfare/test/cluster"
)

// Nodes in one process, on a bus in memory, obey as processes do.
func TestControlPlaneInOneProcess(t *testing.T) {
	secret := hex.EncodeToString(random(32))
	key := base64.RawURLEncoding.EncodeToString(random(32))
	sum := sha256.Sum256([]byte(key))
	c := inprocess.Start(t, 4, inprocess.Configure(func(cfg *fanfare.Config) {
		cfg.Dev, cfg.Systems = false, []string{"orders"}
		cfg.Auth.JWT.Secret = fanfare.Secret(secret)
		cfg.Auth.APIKeys = []fanfare.Secret{fanfare.Secret("e2e:*:" + hex.EncodeToString(sum[:]))}
		cfg.Control.Heartbeat, cfg.Control.DeadAfter = time.Second, 6*time.Second
		cfg.Presence.Systems, cfg.Presence.Grace = []string{"orders"}, time.Second
	}))
	p := &controlled{t: t, key: key, dial: c.Dial, front: strings.TrimPrefix(c.URL(), "http://")}
	p.sign = func(claims jwt.MapClaims) string {
		signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
		must(t, err)
		return signed
	}
	p.http = &http.Client{Transport: &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}}
	at := func(n *inprocess.Node) place { return place{n.Name(), strings.TrimPrefix(n.URL(), "http://")} }
	last := c.Node(3)
	last.Drain() // it starts later
	for _, n := range c.Nodes()[:3] {
		p.nodes = append(p.nodes, at(n))
	}
	for _, n := range p.nodes {
		p.wantLive(t, 10*time.Second, n, p.names()...)
	}
	t.Run("disconnect", p.disconnects)
	t.Run("membership", func(t *testing.T) { p.membership(t, true) })
	t.Run("presence", p.seesWhoIsThere)
	t.Run("revoke", p.revokes)
	t.Run("cut off node", func(t *testing.T) { p.frozen(t, c.Node(2).Partition, c.Node(2).Heal, true) })
	t.Run("block", func(t *testing.T) {
		later := func() place { last.Start(); return at(last) }
		restart := func() {
			for _, n := range c.Nodes() {
				n.Crash()
			}
			for _, n := range c.Nodes() {
				n.Start()
			}
		}
		p.blocks(t, later, restart)
	})
}
