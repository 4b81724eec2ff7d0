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

// Config says what the page shows about its node.
type Config struct {
	Systems   []string // the systems that the node serves; "*" for any
	Topic     string   // the template of topic names
	Transport string   // the bus's URL, of which only scheme and host are shown
	Docs      string   // the URL of the API's documentation, "" if there is none
	Console   string   // the URL of the operators' console, "" if there is none
}

// A Page is an http.Handler. It is safe for concurrent use.
type Page struct {
	html          []byte
	style, script string // their hashes, as a content security policy names them
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
		"Systems": strings.Join(examples(cfg.Systems), ","), "Topic": cfg.Topic,
		"Docs": cfg.Docs, "Console": cfg.Console, "Bus": bus, "Server": server,
	})
	if err != nil {
		return nil, fmt.Errorf("devpage: %w", err)
	}
	return &Page{html: html.Bytes(), style: hash(pageCSS), script: hash(pageJS)}, nil
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

// policy returns a content security policy that allows the page its own style and script,
// and connections to its node. Not every browser takes 'self' to include WebSockets, so
// they are named.
func (p *Page) policy(host string) string {
	connect := "'self'"
	if plain(host) {
		connect += " ws://" + host
	}
	return "default-src 'none'; script-src " + p.script + "; style-src " + p.style +
		"; img-src data:; connect-src " + connect +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; require-trusted-types-for 'script'; trusted-types 'none'"
}

// plain reports whether a host can stand in a policy. The client sends the host, and could
// write anything there.
func plain(host string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyz" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "0123456789.-:[]"
	for _, c := range host {
		if !strings.ContainsRune(allowed, c) {
			return false
		}
	}
	return host != ""
}

// hash returns what a policy names a style or a script by.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// maxSystems is how many systems the page's devices attach to at most.
const maxSystems = 8

// examples returns the systems that the page uses.
func examples(served []string) []string {
	if len(served) == 0 || served[0] == "*" {
		return []string{"orders", "chat"}
	}
	return served[:min(len(served), maxSystems)]
}

// show returns the scheme and the host of a bus's URL, which are no secrets.
func show(transport string) (bus, server string) {
	u, err := url.Parse(transport)
	if err != nil {
		return "", ""
	}
	return u.Scheme, u.Host
}
