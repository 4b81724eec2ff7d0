package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

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
	functions := template.FuncMap{"json": indented, "anchor": anchor, "rows": titled}
	t, err := template.New("docs").Funcs(functions).Parse(docsHTML)
	if err != nil {
		return page{}, err
	}
	read := reader{doc.Components.Schemas}
	var html bytes.Buffer
	err = t.Execute(&html, map[string]any{
		"Info": doc.Info, "Style": template.CSS(docsCSS), "Groups": groups(doc),
		"Problem": read.fields("", doc.Components.Schemas.Map()["Problem"]),
		"Token":   doc.Components.SecuritySchemes["token"].Description,
		"Ops":     ops, "Codes": closeCodes,
	})
	sum := sha256.Sum256([]byte(docsCSS))
	return page{
		html: html.Bytes(),
		policy: "default-src 'none'; base-uri 'none'; form-action 'none'; " +
			"frame-ancestors 'none'; " +
			"style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
	}, err
}

// A group is what the page says under one heading.
type group struct {
	Name       string
	Operations []shown
}

// A shown operation is one as the page shows it.
type shown struct {
	*huma.Operation
	Params  []field
	Curl    string // a command to try it with
	Bodies  []body
	Answers []answer
}

// A body is one form of what is sent.
type body struct {
	Media, Type string
	Fields      []field
	Example     any
}

// An answer is one that there may be, by its status.
type answer struct {
	Status, Meaning string
	Fields          []field // nil for a problem, whose fields are the same everywhere
	Example         any
}

// groups returns what the page says of the operations, in its order.
func groups(doc *huma.OpenAPI) (all []group) {
	read := reader{doc.Components.Schemas}
	for _, op := range operations(doc) {
		name := op.Tags[0]
		if len(all) == 0 || all[len(all)-1].Name != name {
			all = append(all, group{Name: name})
		}
		last := &all[len(all)-1]
		last.Operations = append(last.Operations, shown{
			Operation: op, Params: read.params(op), Curl: curl(op),
			Bodies: read.bodies(op), Answers: read.answers(op),
		})
	}
	return all
}

func (r reader) bodies(op *huma.Operation) (all []body) {
	if op.RequestBody == nil {
		return nil
	}
	for _, media := range slices.Sorted(maps.Keys(op.RequestBody.Content)) {
		content := op.RequestBody.Content[media]
		b := body{Media: media, Fields: r.fields("", content.Schema), Example: content.Example}
		if b.Fields == nil {
			b.Type = content.Schema.Description
		}
		all = append(all, b)
	}
	return all
}

func (r reader) answers(op *huma.Operation) (all []answer) {
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		response := op.Responses[status]
		a := answer{Status: status, Meaning: response.Description}
		if json := response.Content["application/json"]; json != nil {
			a.Fields, a.Example = r.fields("", json.Schema), json.Example
			for i := range a.Fields {
				a.Fields[i].Required = false // the node's affair
			}
		}
		all = append(all, a)
	}
	return all
}

// curl returns a command that tries an operation, "" for what is no single request.
func curl(op *huma.Operation) string {
	if op.Tags[0] == tagReceiving {
		return ""
	}
	path := op.Path
	for _, p := range op.Parameters {
		if p.In == "path" {
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(fmt.Sprint(p.Example)))
		}
	}
	parts := []string{"curl"}
	if op.Method != impliedMethod(op) {
		parts = append(parts, "-X "+op.Method)
	}
	if len(op.Security) > 0 {
		parts = append(parts, `-H "Authorization: Bearer $FANFARE_KEY"`)
	}
	if op.RequestBody != nil {
		if content := op.RequestBody.Content["application/json"]; content != nil && content.Example != nil {
			data, _ := json.Marshal(content.Example) // an example is plain JSON
			parts = append(parts, "-H 'Content-Type: application/json'",
				"-d '"+strings.ReplaceAll(string(data), "'", `'\''`)+"'")
		}
	}
	return strings.Join(append(parts, "$FANFARE_URL"+path), " ")
}

// impliedMethod returns the method that curl uses unless it is told another one.
func impliedMethod(op *huma.Operation) string {
	if op.RequestBody != nil {
		return http.MethodPost
	}
	return http.MethodGet
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
		if op.OperationID == "ws" {
			return -2 // before sse, which explains less
		}
		return slices.IndexFunc(routes, func(r route) bool { return r.about.id == op.OperationID })
	}
	slices.SortStableFunc(all, func(a, b *huma.Operation) int {
		return cmp.Or(rank(a)-rank(b), place(a)-place(b))
	})
	return all
}

// titled returns rows and what they are rows of, for the template fields.
func titled(title string, rows []field) map[string]any {
	return map[string]any{"Title": title, "Rows": rows}
}

// anchor returns the name of a group's heading in addresses.
func anchor(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), " ", "-")
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
