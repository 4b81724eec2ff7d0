package arch_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

func TestPortsAreNotTakenFromClosedListeners(t *testing.T) { check(t, ".go", closedListeners) }

// closedListeners finds functions that listen on port 0 only to learn a number: they close
// the listener themselves and let somebody else have its port. It does not stay free. A
// listener that a function hands on, accepts from or keeps until its end is none of these.
func closedListeners(name string, text []byte) (faults []string) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		for listener, at := range onPortZero(f.Body) {
			if u := usesOf(f.Body, listener); !u.served && (u.closed || u.returned) {
				faults = append(faults, fmt.Sprintf("%s:%d: the port of a closed listener does not stay free: use test/freeport",
					name, set.Position(at).Line))
			}
		}
	}
	return faults
}

// onPortZero returns the variables that get a listener on port 0, and where.
func onPortZero(body ast.Node) map[string]token.Pos {
	found := make(map[string]token.Pos)
	ast.Inspect(body, func(n ast.Node) bool {
		assign, ok := n.(*ast.AssignStmt)
		if !ok || len(assign.Lhs) != 2 || len(assign.Rhs) != 1 {
			return true
		}
		call, ok := assign.Rhs[0].(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		called, _ := call.Fun.(*ast.SelectorExpr)
		last, _ := call.Args[len(call.Args)-1].(*ast.BasicLit)
		variable, _ := assign.Lhs[0].(*ast.Ident)
		if called != nil && called.Sel.Name == "Listen" && variable != nil &&
			last != nil && strings.HasSuffix(last.Value, `:0"`) {
			found[variable.Name] = assign.Pos()
		}
		return true
	})
	return found
}

// uses are what a function does with a listener.
type uses struct {
	served   bool // something beside Addr and Close, such as Accept, or it is an argument
	closed   bool // closed before the function ends
	returned bool // its address is returned
}

func usesOf(body ast.Node, listener string) (u uses) {
	isListener := func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		return ok && id.Name == listener
	}
	deferred := make(map[ast.Node]bool) // calls that are not made at once
	selected := make(map[ast.Node]bool) // those before a dot, and those that are assigned
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, l := range n.Lhs {
				selected[l] = true
			}
		case *ast.DeferStmt:
			deferred[n.Call] = true
		case *ast.FuncLit: // such as a test's cleanup
			ast.Inspect(n, func(n ast.Node) bool { deferred[n] = true; return true })
		case *ast.ReturnStmt:
			for _, r := range n.Results {
				ast.Inspect(r, func(n ast.Node) bool { u.returned = u.returned || isListener(n); return true })
			}
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && isListener(s.X) && s.Sel.Name == "Close" && !deferred[n] {
				u.closed = true
			}
		case *ast.SelectorExpr:
			if isListener(n.X) {
				selected[n.X] = true
				u.served = u.served || n.Sel.Name != "Close" && n.Sel.Name != "Addr"
			}
		case *ast.Ident:
			u.served = u.served || isListener(n) && !selected[n]
		}
		return true
	})
	return u
}

func TestClosedListenersAreFound(t *testing.T) {
	for body, faults := range map[string]int{
		`defer l.Close(); return l.Addr().String()`:                 1,
		`return l.Addr().String(), l.Close()`:                       1,
		`address := l.Addr().String(); l.Close(); start(address)`:   1,
		`defer l.Close(); start(l.Addr().String())`:                 0, // the port is to be taken
		`go serve(l); return l.Addr().String()`:                     0,
		`go func() { l.Accept(); l.Close() }(); return l.Addr()`:    0,
		`t.Cleanup(func() { l.Close() }); start(l.Addr().String())`: 0,
	} {
		text := "package p\nfunc f() {\nl, err := net.Listen(\"tcp\", \"127.0.0.1:0\")\n" + body + "\n}"
		if got := closedListeners("f.go", []byte(text)); len(got) != faults {
			t.Errorf("%s: %q", body, got)
		}
	}
}
