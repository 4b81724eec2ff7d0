package api_test

import (
	"bytes"
	"fmt"
	"go/constant"
	"go/types"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A listing is what a package exports, one declaration after the other by name,
// without comments: their wording may change.
type listing struct {
	pkg     *types.Package
	text    bytes.Buffer
	foreign []string // packages of this module that the declarations name
}

// blankLines are several in a row.
var blankLines = regexp.MustCompile(`\n{3,}`)

func list(p *types.Package) *listing {
	l := &listing{pkg: p}
	l.line("package %s // import %q", p.Name(), p.Path())
	for _, kind := range []func(types.Object){l.constant, l.variable, l.function, l.typ} {
		l.line("")
		for _, name := range p.Scope().Names() { // sorted
			if o := p.Scope().Lookup(name); o.Exported() {
				kind(o)
			}
		}
	}
	l.text = *bytes.NewBuffer(blankLines.ReplaceAll(l.text.Bytes(), []byte("\n\n")))
	slices.Sort(l.foreign)
	l.foreign = slices.Compact(l.foreign)
	return l
}

func (l *listing) line(format string, args ...any) { fmt.Fprintf(&l.text, format+"\n", args...) }

// qualifier names packages, and notes those of this module.
func (l *listing) qualifier(p *types.Package) string {
	if p == l.pkg {
		return ""
	}
	if p.Path() == module || strings.HasPrefix(p.Path(), module+"/") {
		l.foreign = append(l.foreign, p.Path())
	}
	return p.Name()
}

func (l *listing) name(t types.Type) string { return types.TypeString(t, l.qualifier) }

func (l *listing) constant(o types.Object) {
	c, ok := o.(*types.Const)
	if !ok {
		return
	}
	typ := " " + l.name(c.Type())
	if b, ok := c.Type().(*types.Basic); ok && b.Info()&types.IsUntyped != 0 {
		typ = ""
	}
	l.line("const %s%s = %s", c.Name(), typ, value(c))
}

func value(c *types.Const) string {
	if n, exact := constant.Int64Val(constant.ToInt(c.Val())); exact && c.Type().String() == "time.Duration" {
		return time.Duration(n).String()
	}
	return c.Val().ExactString()
}

func (l *listing) variable(o types.Object) {
	if v, ok := o.(*types.Var); ok {
		l.line("var %s %s", v.Name(), l.name(v.Type()))
	}
}

func (l *listing) function(o types.Object) {
	if f, ok := o.(*types.Func); ok {
		l.line("func %s%s", f.Name(), l.signature(f))
	}
}

func (l *listing) signature(f *types.Func) string {
	var b bytes.Buffer
	types.WriteSignature(&b, f.Signature(), l.qualifier)
	return b.String()
}

func (l *listing) typ(o types.Object) {
	t, ok := o.(*types.TypeName)
	switch {
	case !ok:
		return
	case t.IsAlias():
		l.line("")
		l.line("type %s = %s", t.Name(), l.name(types.Unalias(t.Type())))
		return
	}
	l.line("")
	head := "type " + types.TypeString(t.Type(), l.qualifier)
	switch under := t.Type().Underlying().(type) {
	case *types.Struct:
		l.line("%s struct {", head)
		l.fields(under)
		l.line("}")
	case *types.Interface:
		l.line("%s interface {", head)
		l.elements(under)
		l.line("}")
		return // its methods have just been listed
	default:
		l.line("%s %s", head, l.name(under))
	}
	l.methods(t.Type())
}

func (l *listing) fields(s *types.Struct) {
	hidden := false
	for i := range s.NumFields() {
		f, tag := s.Field(i), ""
		if s.Tag(i) != "" {
			tag = " `" + s.Tag(i) + "`"
		}
		switch {
		case f.Exported() && f.Embedded():
			l.line("\t%s%s // embedded", l.name(f.Type()), tag)
		case f.Exported():
			l.line("\t%s %s%s", f.Name(), l.name(f.Type()), tag)
		case f.Embedded():
			l.promoted(f)
			hidden = true
		default:
			hidden = true
		}
	}
	if hidden {
		l.line("\t// unexported fields")
	}
}

// promoted lists the exported fields that a struct has from a field without an
// exported name.
func (l *listing) promoted(f *types.Var) {
	typ := f.Type()
	if p, ok := typ.Underlying().(*types.Pointer); ok {
		typ = p.Elem()
	}
	if s, ok := typ.Underlying().(*types.Struct); ok {
		l.fields(s)
	}
}

func (l *listing) elements(i *types.Interface) {
	hidden := false
	for m := range i.Methods() {
		if m.Exported() {
			l.line("\t%s%s", m.Name(), l.signature(m))
		} else {
			hidden = true
		}
	}
	if hidden {
		l.line("\t// unexported methods")
	}
	for t := range i.EmbeddedTypes() {
		if !types.IsInterface(t) {
			l.line("\t%s", l.name(t)) // a union of types
		}
	}
}

// methods lists the methods of a type, those included that it has from embedded
// fields.
func (l *listing) methods(t types.Type) {
	value := types.NewMethodSet(t)
	for m := range types.NewMethodSet(types.NewPointer(t)).Methods() {
		f, ok := m.Obj().(*types.Func)
		if !ok || !f.Exported() {
			continue
		}
		receiver := l.name(t)
		if value.Lookup(l.pkg, f.Name()) == nil {
			receiver = "*" + receiver
		}
		from := ""
		if len(m.Index()) > 1 {
			from = " // of an embedded field"
		}
		l.line("func (%s) %s%s%s", receiver, f.Name(), l.signature(f), from)
	}
}
