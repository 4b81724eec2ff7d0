package console

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
)

//go:embed console.html
var pageHTML string

//go:embed console.css
var pageCSS string

//go:embed console.js
var pageJS string

// A Page is an http.Handler. It is safe for concurrent use.
type Page struct {
	html   []byte
	policy string
}

// New renders the page, once. Node is the name of the node that serves it.
func New(node string) (*Page, error) {
	t, err := template.New("console").Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	var html strings.Builder
	err = t.Execute(&html, map[string]any{
		"Style": template.CSS(pageCSS), "Script": template.JS(pageJS), "Node": node,
	})
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return &Page{html: []byte(html.String()), policy: policy()}, nil
}

// ServeHTTP serves the page, whatever the path.
func (p *Page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	_, _ = w.Write(p.html) // a browser that has gone needs no page
}

// policy returns a content security policy that allows the page its own style and script,
// and requests to its own node.
func policy() string {
	return "default-src 'none'; script-src " + hash(pageJS) + "; style-src " + hash(pageCSS) +
		"; img-src data:; connect-src 'self'" +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; require-trusted-types-for 'script'; trusted-types 'none'"
}

// hash returns what a policy names a style or a script by.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
