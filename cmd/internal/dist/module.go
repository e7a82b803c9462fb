package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// Module is a module of which packages are linked into a binary.
type Module struct {
	Path, Version string
	// SHA256 is the digest in go.sum ("h1:"), in hex: SHA-256 of the list of the
	// SHA-256 of all files. Empty for the standard library, which has none.
	SHA256 string
	Texts  []Text
}

// Text is a licence or a notice of a module.
type Text struct {
	Name string // below the module, with slashes
	Text []byte
	IDs  []string // of SPDX, sorted; none for a mere notice
}

// IDs are the SPDX ids of all texts, sorted.
func (m *Module) IDs() []string {
	var ids []string
	for _, t := range m.Texts {
		ids = append(ids, t.IDs...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// linked is what the build of one binary read: folders of packages by module.
type linked struct {
	dir     string // of the module
	folders []string
}

// packages asks go list for the packages of a binary, by path of the module;
// the standard library has the path "std".
func (b *Build) packages(ctx context.Context, p Platform) (map[string]*linked, error) {
	out, err := b.goTool(ctx, p, "list", "-deps", "-tags", tags, "-json=Dir,Standard,Module", program)
	if err != nil {
		return nil, err
	}
	all := map[string]*linked{}
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var pkg struct {
			Dir      string
			Standard bool
			Module   *struct {
				Path, Dir string
				Main      bool
				Replace   *struct{ Path string }
			}
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("dist: go list: %w", err)
		}
		name, dir := stdlib, ""
		switch {
		case pkg.Standard:
		case pkg.Module == nil || pkg.Module.Main:
			continue
		case pkg.Module.Replace != nil:
			return nil, fmt.Errorf("dist: module %s is replaced by %s: want what go.sum names", pkg.Module.Path, pkg.Module.Replace.Path)
		default:
			name, dir = pkg.Module.Path, pkg.Module.Dir
		}
		if all[name] == nil {
			all[name] = &linked{dir: dir}
		}
		all[name].folders = append(all[name].folders, pkg.Dir)
	}
}

const stdlib = "std"

// Modules returns the modules of a binary, sorted by path, with their licences.
// A module without a licence, or with one that may not be shipped, is an error;
// all of them are told together.
func (b *Build) Modules(ctx context.Context, p Platform, info *debug.BuildInfo) ([]Module, error) {
	from, err := b.packages(ctx, p)
	if err != nil {
		return nil, err
	}
	root, err := b.goTool(ctx, p, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	all := []Module{{Path: stdlib, Version: info.GoVersion}}
	for _, d := range info.Deps {
		sum, err := digest(d.Sum)
		if err != nil {
			return nil, fmt.Errorf("dist: module %s %s: %w", d.Path, d.Version, err)
		}
		all = append(all, Module{Path: d.Path, Version: d.Version, SHA256: sum})
	}
	var faults []error
	for i := range all {
		m := &all[i]
		l := from[m.Path]
		if l == nil {
			faults = append(faults, fmt.Errorf("dist: module %s is in the binary and not in go list", m.Path))
			continue
		}
		if m.Path == stdlib { // one licence for all of it
			l = &linked{dir: strings.TrimSpace(root)}
		}
		if m.Texts, err = texts(l); err != nil {
			faults = append(faults, fmt.Errorf("dist: module %s %s: %w", m.Path, m.Version, err))
		}
	}
	return all, errors.Join(faults...)
}

// digest turns "h1:" and base64 into hex.
func digest(sum string) (string, error) {
	text, ok := strings.CutPrefix(sum, "h1:")
	b, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(b) != 32 {
		return "", fmt.Errorf("sum %q: want h1: and SHA-256 in base64", sum)
	}
	return hex.EncodeToString(b), nil
}

// legal are names of files with licences and notices.
func legal(name string) bool {
	return regexp.MustCompile(`(?i)^(unlicense|copying|copyright|notice|patents|.*licen[cs]e)([-._].*)?$`).MatchString(name) &&
		!strings.HasSuffix(name, ".go")
}

// texts reads the licences of a module: those at its top, and those between
// there and the packages that are linked, which may come from elsewhere.
func texts(l *linked) ([]Text, error) {
	folders := []string{"."}
	for _, f := range l.folders {
		rel, err := filepath.Rel(l.dir, f)
		if err != nil || strings.HasPrefix(rel, "..") {
			return nil, fmt.Errorf("package in %s is not below %s", f, l.dir)
		}
		for rel = filepath.ToSlash(rel); rel != "."; rel = path.Dir(rel) {
			folders = append(folders, rel)
		}
	}
	slices.Sort(folders)
	var all []Text
	var faults []error
	for _, folder := range slices.Compact(folders) {
		entries, err := os.ReadDir(filepath.Join(l.dir, folder))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() || !legal(e.Name()) {
				continue
			}
			t, err := readText(l.dir, path.Join(folder, e.Name()))
			if err != nil {
				faults = append(faults, err)
			}
			all = append(all, t)
		}
	}
	if !slices.ContainsFunc(all, func(t Text) bool { return len(t.IDs) > 0 }) {
		faults = append(faults, errors.New("has no licence that may be shipped"))
	}
	return all, errors.Join(faults...)
}

// readText reads and judges one text. A notice, or a list of owners, needs to be
// no licence, but may not speak of one that cannot be shipped.
func readText(dir, name string) (t Text, err error) {
	t.Name = name
	if t.Text, err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
		return t, err
	}
	if j, ok := judged(t.Text); ok {
		t.IDs = j.ids
		return t, nil
	}
	t.IDs, err = Classify(t.Text)
	mere := regexp.MustCompile(`(?i)^(notice|copyright)`).MatchString(path.Base(name))
	if mere && errors.Is(err, errNoLicence) {
		return t, nil
	}
	if err != nil {
		return t, fmt.Errorf("%s %w", name, err)
	}
	return t, nil
}
