package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestArchitectureNamesWhatExists holds docs/architecture.md to the code: each
// name in it of the form package.Name or package.Type.Member is declared.
func TestArchitectureNamesWhatExists(t *testing.T) {
	page, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	declared, packages := declarations(t)
	spans := regexp.MustCompile("`([a-z]+)(\\.[A-Za-z]\\w*){1,2}`").FindAllString(string(page), -1)
	if len(spans) < 20 {
		t.Fatalf("the page names %d things: is it read right?", len(spans))
	}
	for _, span := range spans {
		name := strings.Trim(span, "`")
		pkg, _, _ := strings.Cut(name, ".")
		if strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".md") {
			continue
		}
		if !slices.Contains(packages, pkg) {
			t.Errorf("docs/architecture.md names %s: there is no package %s", name, pkg)
		} else if !declared[name] {
			t.Errorf("docs/architecture.md names %s, which is not declared", name)
		}
	}
}

// declarations returns what the module's packages declare, without tests, and
// the packages' names.
func declarations(t *testing.T) (declared map[string]bool, packages []string) {
	t.Helper()
	declared = make(map[string]bool)
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", ".cache", "bin", "node_modules", "testdata"}, entry.Name()):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		packages = append(packages, file.Name.Name)
		for _, d := range file.Decls {
			for _, name := range namesOf(d) {
				declared[file.Name.Name+"."+name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return declared, packages
}

// namesOf returns what a declaration declares, methods and fields as
// Type.Member.
func namesOf(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return []string{d.Name.Name}
		}
		return []string{receiver(d.Recv.List[0].Type) + "." + d.Name.Name}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
				names = append(names, members(spec)...)
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// members returns the fields of a struct and the methods of an interface.
func members(spec *ast.TypeSpec) (names []string) {
	var list *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return nil
	}
	for _, f := range list.List {
		for _, n := range f.Names {
			names = append(names, spec.Name.Name+"."+n.Name)
		}
	}
	return names
}
