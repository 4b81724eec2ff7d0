package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// A field is a row of the documentation: a parameter, or a member of a body.
type field struct {
	Name, In string // In is of a parameter: path, query or header
	Required bool
	Type     string
	Limits   string
	Meaning  string
	Example  any
}

// A reader makes rows of schemas. References are to those in all.
type reader struct{ all huma.Registry }

func (r reader) resolved(s *huma.Schema) *huma.Schema {
	for s != nil && s.Ref != "" {
		s = r.all.SchemaFromRef(s.Ref)
	}
	return s
}

// params returns the rows of an operation's parameters.
func (r reader) params(op *huma.Operation) (rows []field) {
	for _, p := range op.Parameters {
		row := field{
			Name: p.Name, In: p.In, Required: p.Required, Example: p.Example,
			Type: r.typeOf(p.Schema), Limits: r.limits(p.Schema), Meaning: p.Description,
		}
		if s := r.resolved(p.Schema); row.Meaning == "" && s != nil {
			row.Meaning = s.Description
		}
		rows = append(rows, row)
	}
	return rows
}

// fields returns the rows of the members of an object, of those in an array, and of
// either of several forms. Names of members of members are joined with points.
func (r reader) fields(prefix string, s *huma.Schema) (rows []field) {
	s = r.resolved(s)
	switch {
	case s == nil:
		return nil
	case s.Items != nil:
		return r.fields(prefix, s.Items)
	}
	for _, form := range s.OneOf {
		for _, row := range r.fields(prefix, form) {
			if !slices.ContainsFunc(rows, func(f field) bool { return f.Name == row.Name }) {
				rows = append(rows, row)
			}
		}
	}
	for _, name := range memberNames(s) {
		property := r.resolved(s.Properties[name])
		rows = append(rows, field{
			Name: prefix + name, Required: slices.Contains(s.Required, name),
			Type: r.typeOf(property), Limits: r.limits(property),
			Meaning: cmp.Or(s.Properties[name].Description, property.Description),
		})
		below := prefix + name + "."
		if property.Items != nil {
			below = prefix + name + "[]."
		}
		rows = append(rows, r.fields(below, property)...)
	}
	return rows
}

// memberNames returns the names of an object's members: those that must be there first.
func memberNames(s *huma.Schema) (all []string) {
	for name := range s.Properties {
		all = append(all, name)
	}
	slices.SortFunc(all, func(a, b string) int {
		if x, y := slices.Contains(s.Required, a), slices.Contains(s.Required, b); x != y {
			if x {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return all
}

// typeOf returns what a value is, in words.
func (r reader) typeOf(s *huma.Schema) string {
	s = r.resolved(s)
	switch {
	case s == nil:
		return ""
	case len(s.OneOf) > 0:
		var forms []string
		for _, form := range s.OneOf {
			if t := r.typeOf(form); !slices.Contains(forms, t) {
				forms = append(forms, t)
			}
		}
		return strings.Join(forms, " or ")
	case s.Items != nil:
		return "array of " + strings.ReplaceAll(r.typeOf(s.Items), "string", "strings")
	case s.Format == "date-time":
		return "time (RFC 3339)"
	case s.ContentEncoding != "":
		return s.ContentEncoding
	case s.Type == "":
		return "any JSON"
	}
	return s.Type
}

// limits returns what a value may be, in words; "" for anything.
func (r reader) limits(s *huma.Schema) string {
	s = r.resolved(s)
	if s == nil {
		return ""
	}
	var all []string
	add := func(is bool, format string, args ...any) {
		if is {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	for _, value := range s.Enum {
		add(true, "%v", value)
	}
	if len(all) > 1 {
		all = []string{strings.Join(all, " or ")}
	}
	add(s.Minimum != nil && s.Maximum != nil, "%v to %v", number(s.Minimum), number(s.Maximum))
	add(s.MaxLength != nil, "at most %d bytes", deref(s.MaxLength))
	add(s.MaxItems != nil, "at most %d of them", deref(s.MaxItems))
	add(s.Pattern != "", "%s", s.Pattern)
	add(s.Default != nil, "default %v", s.Default)
	for _, form := range s.OneOf {
		add(r.limits(form) != "", "%s", r.limits(form))
	}
	return strings.Join(all, "; ")
}

func deref(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// number returns a bound without an exponent.
func number(n *float64) string {
	if n == nil {
		return ""
	}
	return fmt.Sprintf("%.0f", *n)
}
