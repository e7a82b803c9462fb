package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	mitText = `Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), … The above copyright
notice and this permission notice shall be included in all copies or substantial portions of
the Software.`
	bsdText = `Redistributions of source code must retain the above copyright notice, …
Redistributions in binary form must reproduce the above copyright notice, …`
)

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
		says       string
	}{
		{name: "MIT", text: mitText, want: []string{"MIT"}},
		{name: "BSD with two", text: bsdText, want: []string{"BSD-2-Clause"}},
		{name: "BSD with three", text: bsdText + "\n * Neither the name of Google …", want: []string{"BSD-3-Clause"}},
		{name: "two in one file", text: bsdText + mitText, want: []string{"BSD-2-Clause", "MIT"}},
		{name: "BSD with advertising", text: bsdText + "All advertising materials mentioning features", says: "advertising"},
		{name: "MIT and GPL", text: mitText + "or the GNU General Public License", says: "general public license"},
		{name: "MPL", text: "Mozilla Public License, version 2.0", says: "mozilla public license"},
		{name: "not for business", text: mitText + "\nCommons Clause License Condition v1.0", says: "commons clause"},
		{name: "empty", says: "none of the licences"},
		{name: "in words only", text: "MIT licensed", says: "none of the licences"},
		{name: "half of MIT", text: strings.Split(mitText, "The above")[0], says: "none of the licences"},
	} {
		got, err := Classify([]byte(tt.text))
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
		if (err != nil) != (tt.says != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v; want %q", tt.name, err, tt.says)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add([]byte(mitText))
	f.Add([]byte(bsdText + "Affero General Public License"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ids, err := Classify(text)
		if (err == nil) != (len(ids) > 0) {
			t.Errorf("Classify(%q) = %v, %v; want one of the two", text, ids, err)
		}
		if _, err := Classify(append(slices.Clone(text), " GNU General Public License "...)); err == nil {
			t.Errorf("Classify(%q and GPL): no error", text)
		}
	})
}

func TestTextsOfAModule(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"LICENSE": mitText, "NOTICE": "by us", "inner/COPYING": bsdText, "inner/deep/x.go": "", "other/LICENSE": "Mozilla Public License", "license.go": "x",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := texts(&linked{dir: dir, folders: []string{dir, dir + "/inner/deep"}})
	want := []Text{{"LICENSE", []byte(mitText), []string{"MIT"}}, {"NOTICE", []byte("by us"), nil}, {"inner/COPYING", []byte(bsdText), []string{"BSD-2-Clause"}}}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("texts: %v (-want +got):\n%s", err, d)
	}
	if _, err := texts(&linked{dir: dir, folders: []string{dir + "/other"}}); err == nil || !strings.Contains(err.Error(), `other/LICENSE says "mozilla public license"`) {
		t.Errorf("texts with the other folder: %v; want its licence refused", err)
	}
	if _, err := texts(&linked{dir: dir + "/inner/deep"}); err == nil {
		t.Error("texts of a module without a licence: no error")
	}
}

// modulesOf reads what go list knows of the program, as its build info would say
// it, and the licences in the module cache.
func modulesOf(t *testing.T, p Platform) (*debug.BuildInfo, []Module) {
	t.Helper()
	b := &Build{Source: &Source{Dir: "../../.."}}
	out, err := b.goTool(t.Context(), p, "list", "-deps", "-tags", tags, "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Sum}}{{end}}{{end}}", program)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(strings.ReplaceAll(out, "\n", " \n "))
	info := &debug.BuildInfo{GoVersion: "go1.26"}
	lines = slices.DeleteFunc(lines, func(s string) bool { return s == "" })
	for i := 0; i+2 < len(lines); i += 3 {
		m := &debug.Module{Path: lines[i], Version: lines[i+1], Sum: lines[i+2]}
		if !slices.ContainsFunc(info.Deps, func(o *debug.Module) bool { return o.Path == m.Path }) {
			info.Deps = append(info.Deps, m)
		}
	}
	if len(info.Deps) < 20 {
		t.Fatalf("go list names %d modules: want those of the program", len(info.Deps))
	}
	modules, err := b.Modules(context.Background(), p, info)
	if err != nil {
		t.Errorf("%v: %v", p, err)
	}
	return info, modules
}

// TestWhatIsLinkedMayBeShipped reads the licence of everything that the program
// is linked with on each platform, and checks the list of parts against it.
func TestWhatIsLinkedMayBeShipped(t *testing.T) {
	for _, p := range []Platform{{"linux", "amd64"}, {"windows", "amd64"}, {"darwin", "arm64"}} {
		info, modules := modulesOf(t, p)
		text, err := SBOM(&Program{Platform: p, Data: []byte("x"), Info: info}, "1.2.3", modules, at())
		if err != nil {
			t.Fatal(err)
		}
		checkSBOM(t, text, info)
		if notices := string(Notices(modules)); strings.Count(notices, "TERMS AND CONDITIONS FOR USE") == 0 || !strings.Contains(notices, "\ngithub.com/spf13/cobra ") {
			t.Errorf("%v: the notices lack the Apache License or a module", p)
		}
	}
}

// checkSBOM holds the text against what the schema of CycloneDX 1.6 requires,
// and against the modules of the binary.
func checkSBOM(t *testing.T, text []byte, info *debug.BuildInfo) {
	t.Helper()
	var b bom
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	if b.Format != "CycloneDX" || b.Spec != "1.6" || b.Version != 1 || !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`).MatchString(b.Serial) {
		t.Errorf("SBOM is %s %s %d %s", b.Format, b.Spec, b.Version, b.Serial)
	}
	versions, refs := map[string]string{}, map[string]bool{b.Metadata.Component.Ref: true}
	for _, c := range b.Components {
		versions[c.Name] = c.Version
		if refs[c.Ref] || c.Type != "library" || !strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@") {
			t.Errorf("component %+v: want a library with a reference of its own", c)
		}
		refs[c.Ref] = true
		if len(c.Licenses) != 1 || (c.Licenses[0].License == nil) == (c.Licenses[0].Expression == "") {
			t.Errorf("component %s: licences %+v; want an id or an expression", c.Name, c.Licenses)
		}
		if c.Name != stdlib && (len(c.Hashes) != 1 || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(c.Hashes[0].Content)) {
			t.Errorf("component %s: hashes %v", c.Name, c.Hashes)
		}
	}
	want := map[string]string{stdlib: info.GoVersion}
	for _, d := range info.Deps {
		want[d.Path] = d.Version
	}
	if d := cmp.Diff(want, versions); d != "" {
		t.Errorf("modules (-binary +SBOM):\n%s", d)
	}
	for _, d := range b.Dependencies {
		for _, ref := range append(d.DependsOn, d.Ref) {
			if !refs[ref] {
				t.Errorf("dependency on %s, which is no component", ref)
			}
		}
	}
}
