// Package cmd holds no code: this test keeps the architecture of the folders
// around it.
package cmd

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// order returns the whole architecture: a folder may import itself and the
// folders to its left.
func order() []string { return []string{"registry", "scanner", "fingerprint", "reports", "cmd"} }

// topLevel is what stands at the top of the repository, dotfiles aside.
func topLevel() []string {
	return append(order(), "go.mod", "go.sum", "Makefile", "README.md", "LICENSE")
}

// leftBehind are what builds and runs leave at the top; git ignores them.
func leftBehind() []string { return []string{"bin", "dist"} }

const maxLines = 400 // a file is one noun; see TestFilesAreSmall

type source struct {
	name string // relative to the root, with slashes
	file *ast.File
	fset *token.FileSet
	text []byte
}

// sources parses every Go file of the repository.
func sources(t *testing.T) []source {
	t.Helper()
	root := os.DirFS("..")
	fset := token.NewFileSet()
	var all []source
	for _, top := range order() {
		err := fs.WalkDir(root, top, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(name) != ".go" {
				return err
			}
			text, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
			if err != nil {
				return err
			}
			all = append(all, source{name, file, fset, text})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "audit.") || strings.HasPrefix(name, "audit-") {
			continue
		}
		if !slices.Contains(topLevel(), name) && !slices.Contains(leftBehind(), name) {
			t.Errorf("%s stands at the top level: want only %v", name, topLevel())
		}
	}
	for _, want := range topLevel() {
		if _, err := os.Stat(filepath.Join("..", want)); err != nil {
			t.Errorf("top level: %v", err)
		}
	}
}

func TestImportsPointLeft(t *testing.T) {
	for _, s := range sources(t) {
		top, _, _ := strings.Cut(s.name, "/")
		for _, im := range s.file.Imports {
			path, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			rel, ours := strings.CutPrefix(path, "dormant/")
			dep, _, _ := strings.Cut(rel, "/")
			if ours && slices.Index(order(), dep) > slices.Index(order(), top) {
				t.Errorf("%s imports %s: arrows point left only %v", s.name, rel, order())
			}
			if path == "github.com/projectdiscovery/ipranger" && !strings.HasPrefix(s.name, "scanner/") {
				t.Errorf("%s imports ipranger: one file of scanner does", s.name)
			}
		}
	}
}

func TestNoHiddenStart(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasSuffix(s.name, "_test.go") {
			continue
		}
		for _, decl := range s.file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init(): tables are literals, constructors are called", s.name)
			}
		}
		if strings.HasPrefix(s.name, "cmd/") && strings.HasSuffix(s.name, "/main.go") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok {
				switch x.Name + "." + sel.Sel.Name {
				case "os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "log.Panic":
					t.Errorf("%s: %s.%s: only main exits", s.fset.Position(sel.Pos()), x.Name, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestEveryPackageHasOneDoc(t *testing.T) {
	docs := map[string][]string{}
	for _, s := range sources(t) {
		dir := filepath.ToSlash(filepath.Dir(s.name))
		if strings.HasSuffix(s.name, "_test.go") {
			continue
		}
		docs[dir] = slices.Clip(docs[dir])
		if s.file.Doc != nil {
			docs[dir] = append(docs[dir], s.name)
		}
	}
	for dir, files := range docs {
		if len(files) != 1 {
			t.Errorf("package %s: package comments in %v; want exactly one", dir, files)
		}
	}
}

// TestInternalsAreExplained: cmd/dormant/doc.go is the one place that says what
// the folders of cmd/internal are for.
func TestInternalsAreExplained(t *testing.T) {
	doc, err := os.ReadFile("dormant/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("internal")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(string(doc), "//\t  "+e.Name()+" ") {
			t.Errorf("cmd/dormant/doc.go does not say what cmd/internal/%s is for", e.Name())
		}
	}
}

func TestFilesAreSmall(t *testing.T) {
	for _, s := range sources(t) {
		lines := strings.Count(string(s.text), "\n")
		if !strings.HasSuffix(s.name, "_test.go") && lines > maxLines {
			t.Errorf("%s has %d lines: want at most %d, one noun a file", s.name, lines, maxLines)
		}
	}
}
