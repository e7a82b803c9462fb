package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWrite: a folder is replaced as a whole, however its name is written, and
// only if it is one of ours.
func TestWrite(t *testing.T) {
	files := func(text string) Files {
		var f Files
		f.Add("SHA256SUMS", []byte(text))
		f.Add("container/"+text, nil)
		return f.Tree()
	}
	for _, tt := range []struct{ name, out string }{
		{"plain", "dist"}, {"with a slash at its end", "dist" + string(filepath.Separator)}, {"by way of another", "dist/../dist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			top := t.TempDir()
			out := top + string(filepath.Separator) + tt.out
			for _, text := range []string{"first", "second"} {
				if err := write(out, files(text), &Source{At: at()}); err != nil {
					t.Fatal(err)
				}
				var got []string
				err := filepath.WalkDir(top, func(path string, _ os.DirEntry, err error) error {
					got = append(got, strings.TrimPrefix(path, top))
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				want := []string{"", "/dist", "/dist/SHA256SUMS", "/dist/container", "/dist/container/" + text}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s (-want +got):\n%s", text, d)
				}
			}
		})
	}
	foreign := t.TempDir()
	letter := filepath.Join(foreign, "letter")
	if err := os.WriteFile(letter, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(foreign, files("new"), &Source{At: at()}); err == nil {
		t.Error("a folder with something else in it was replaced")
	}
	if _, err := os.Stat(letter); err != nil {
		t.Error(err)
	}
}

func TestParsePlatforms(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []Platform
		bad  string
	}{
		{in: "", want: Platforms()},
		{in: "linux/amd64", want: []Platform{{"linux", "amd64"}}},
		{in: "darwin/arm64,linux/arm64", want: []Platform{{"darwin", "arm64"}, {"linux", "arm64"}}},
		{in: "linux_amd64", bad: `dist: platform "linux_amd64": want some of linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64`},
		{in: "linux/amd64,", bad: `dist: platform "": want some of linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64`},
		{in: "linux/amd64,linux/amd64", bad: `dist: platform "linux/amd64" is given twice`},
	} {
		got, err := ParsePlatforms(tt.in)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if !slices.Equal(got, tt.want) || said != tt.bad {
			t.Errorf("ParsePlatforms(%q) = %v, %q; want %v, %q", tt.in, got, said, tt.want, tt.bad)
		}
	}
}
