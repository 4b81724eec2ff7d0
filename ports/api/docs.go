package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsHTML string

//go:embed docs.css
var docsCSS string

// A page is the documentation of the API, rendered once. It needs no script and loads
// nothing, so its content security policy allows neither.
type page struct {
	html   []byte
	policy string
}

func newPage(doc *huma.OpenAPI) (page, error) {
	t, err := template.New("docs").Funcs(template.FuncMap{"json": indented}).Parse(docsHTML)
	if err != nil {
		return page{}, err
	}
	var html bytes.Buffer
	err = t.Execute(&html, map[string]any{
		"Info": doc.Info, "Style": template.CSS(docsCSS),
		"Operations": operations(doc), "Schemas": doc.Components.Schemas.Map(),
	})
	sum := sha256.Sum256([]byte(docsCSS))
	return page{
		html: html.Bytes(),
		policy: "default-src 'none'; base-uri 'none'; form-action 'none'; " +
			"frame-ancestors 'none'; " +
			"style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
	}, err
}

// operations returns the operations in the order of their groups. In a group, those of the
// control plane are in the order of routes, and others by path.
func operations(doc *huma.OpenAPI) (all []*huma.Operation) {
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if op != nil {
				all = append(all, op)
			}
		}
	}
	place := func(op *huma.Operation) int {
		return slices.IndexFunc(routes, func(r route) bool { return r.about.id == op.OperationID })
	}
	slices.SortStableFunc(all, func(a, b *huma.Operation) int {
		return cmp.Or(rank(a)-rank(b), place(a)-place(b))
	})
	return all
}

// indented returns a value as indented JSON.
func indented(v any) (string, error) {
	compact, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = json.Indent(&b, compact, "", "  ")
	return b.String(), err
}

func (p page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(p.html)
}
