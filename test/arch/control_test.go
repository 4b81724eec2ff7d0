package arch_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheControlPlaneHasNoClockAndNoGoroutine(t *testing.T) { check(t, ".go", activeInControl) }

// clocks are what package time has beside durations and times that somebody gives it.
var clocks = map[string]bool{
	"Now": true, "Since": true, "Until": true, "After": true, "AfterFunc": true, "Tick": true,
	"NewTimer": true, "NewTicker": true, "Sleep": true,
}

// activeInControl finds what would make two runs of a control machine differ, or make it
// do something that nobody has called for: clocks, goroutines, channels.
func activeInControl(name string, text []byte) (faults []string) {
	if filepath.Dir(name) != "domain/control" || strings.HasSuffix(name, "_test.go") {
		return nil
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	fault := func(n ast.Node, what string) {
		faults = append(faults, fmt.Sprintf("%s:%d: %s: a simulator must be able to repeat what a machine does",
			name, set.Position(n.Pos()).Line, what))
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			fault(n, "a goroutine")
		case *ast.ChanType:
			fault(n, "a channel")
		case *ast.SelectorExpr:
			pkg, ok := n.X.(*ast.Ident)
			if ok && pkg.Name == "time" && clocks[n.Sel.Name] {
				fault(n, "time."+n.Sel.Name)
			}
			if ok && pkg.Name == "domain" && n.Sel.Name == "NewID" {
				fault(n, "domain.NewID reads the clock and random numbers")
			}
		}
		return true
	})
	return faults
}

func TestWhatIsActiveInControlIsFound(t *testing.T) {
	const file = "domain/control/a.go"
	for text, fault := range map[string]string{
		"func f(d time.Duration) {}":   "",
		"func f() { time.Now() }":      file + ":3: time.Now",
		"func f() { go f() }":          file + ":3: a goroutine",
		"func f(c chan int) {}":        file + ":3: a channel",
		"func f() { domain.NewID() }":  file + ":3: domain.NewID",
		"func f() { domain.IDs(nil) }": "",
	} {
		got := strings.Join(activeInControl(file, []byte("package control\n\n"+text+"\n")), "\n")
		if !strings.HasPrefix(got, fault) || fault == "" && got != "" {
			t.Errorf("%s: found %q, want %q", text, got, fault)
		}
	}
	if got := activeInControl("domain/stream/a.go", []byte("package p\n\nfunc f() { time.Now() }\n")); got != nil {
		t.Errorf("another package: %v", got)
	}
}
