package devpage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// Config says what the page must know of its node.
type Config struct {
	Systems   []string // those that the node serves; "*" for any
	Topic     string   // template of topic names
	Transport string   // the bus's URL; what is secret in it is not shown
	Docs      string   // where the API is documented, "" for nowhere
}

// A Page is an http.Handler. It is safe for concurrent use.
type Page struct {
	html           []byte
	style, scripts string // hashes
}

// New renders the page, once.
func New(cfg Config) (*Page, error) {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("devpage: %w", err)
	}
	bus, server := show(cfg.Transport)
	var html bytes.Buffer
	err = t.Execute(&html, map[string]any{
		"Style": template.CSS(pageCSS), "Script": template.JS(pageJS),
		"Systems": strings.Join(examples(cfg.Systems), ","), "Topic": cfg.Topic, "Docs": cfg.Docs, "Bus": bus, "Server": server,
	})
	if err != nil {
		return nil, fmt.Errorf("devpage: %w", err)
	}
	return &Page{html: html.Bytes(), style: hash(pageCSS), scripts: hash(pageJS)}, nil
}

// ServeHTTP serves the page, whatever the path.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy(r.Host))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	_, _ = w.Write(p.html) // a browser that has gone needs no page
}

// policy allows the page itself and its node, and nothing else. Not every
// browser takes 'self' to mean WebSockets too, so they are named.
func (p *Page) policy(host string) string {
	connect := "'self'"
	if plain(host) {
		connect += " ws://" + host
	}
	return "default-src 'none'; script-src " + p.scripts + "; style-src " + p.style + "; img-src data:; connect-src " + connect +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}

// plain says whether a host can stand in a policy: what a client claims to be
// the host could hold anything.
func plain(host string) bool {
	for _, c := range host {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]", c) {
			return false
		}
	}
	return host != ""
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// most is how many systems the page's devices attach to.
const most = 8

// examples returns the systems to play with.
func examples(served []string) []string {
	if len(served) == 0 || served[0] == "*" {
		return []string{"orders", "chat"}
	}
	return served[:min(len(served), most)]
}

// show returns of a bus's URL its scheme, and where its server is.
func show(transport string) (bus, server string) {
	u, err := url.Parse(transport)
	if err != nil {
		return "", ""
	}
	return u.Scheme, u.Host
}
