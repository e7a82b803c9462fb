package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at() time.Time { return time.Date(2026, 11, 22, 11, 4, 33, 0, time.UTC) }

func sample() Files {
	var f Files
	f.Program("top/bin/prog", []byte("\x7fELF odd"))
	f.Add("top/README.md", []byte("read\n"))
	f.Add("top/"+strings.Repeat("long/", 30)+"name", nil)
	f.Folder("top/state", fs.ModeSticky|0o777)
	return f.Tree()
}

func TestTreeHasFoldersFirst(t *testing.T) {
	var f Files
	f.Add("b/c/d", nil)
	f.Add("b-a", nil)
	f.Folder("b", 0o700)
	var got []string
	for _, x := range f.Tree() {
		got = append(got, x.Mode.String()+" "+x.Name)
	}
	want := []string{"drwx------ b", "drwxr-xr-x b/c", "-rw-r--r-- b/c/d", "-rw-r--r-- b-a"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Tree (-want +got):\n%s", d)
	}
}

func TestTarIsReadBack(t *testing.T) {
	b, err := TarGz(sample(), at(), "./")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if !z.ModTime.IsZero() || z.Name != "" {
		t.Errorf("gzip header has %v, %q: want neither time nor name", z.ModTime, z.Name)
	}
	var got Files
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(at()) || h.Uid != 0 || h.Uname != "root" {
			t.Errorf("%s: time %v, owner %d %s; want %v, root", h.Name, h.ModTime, h.Uid, h.Uname, at())
		}
		name := strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")
		got = append(got, File{name, h.FileInfo().Mode(), data})
	}
	same(t, sample(), got)
}

func TestZipIsReadBack(t *testing.T) {
	b, err := Zip(sample(), at())
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var got Files
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if d := at().Sub(f.Modified); d < 0 || d > 2*time.Second {
			t.Errorf("%s: time %v; want %v", f.Name, f.Modified, at())
		}
		got = append(got, File{strings.TrimSuffix(f.Name, "/"), f.Mode(), data})
	}
	same(t, sample(), got)
}

func same(t *testing.T, want, got Files) {
	t.Helper()
	bytesEqual := cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })
	if d := cmp.Diff(want, got, bytesEqual); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
}

func TestArNames(t *testing.T) {
	for _, tt := range []struct {
		name string
		ok   bool
	}{{"control.tar.gz", true}, {"sixteen-bytes-ab", true}, {"seventeen-bytes-x", false}, {"a b", false}, {"a/b", false}, {"", false}} {
		_, err := Ar(Files{{tt.name, 0o644, nil}}, at())
		if (err == nil) != tt.ok {
			t.Errorf("Ar(%q) = %v; want ok %t", tt.name, err, tt.ok)
		}
	}
	if _, err := Ar(nil, time.Unix(-1, 0)); err != nil {
		t.Errorf("Ar of nothing = %v", err)
	}
}

// TestDebBesideDpkg holds the package against what dpkg-deb reads out of it.
func TestDebBesideDpkg(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("no dpkg-deb here: ", err)
	}
	d := &Debian{Version: "1.2.3~rc.1", Arch: "amd64", Maintainer: "A B <a@b.example>", At: at()}
	files, err := d.Content(&Program{Platform: Platform{"linux", "amd64"}, Data: []byte("odd")}, somePages(), []byte("readme"), []byte("notices"))
	if err != nil {
		t.Fatal(err)
	}
	deb, err := d.Deb(files)
	if err != nil {
		t.Fatal(err)
	}
	again, err := d.Deb(files)
	if err != nil || !bytes.Equal(deb, again) {
		t.Errorf("two packages of the same files differ (%v)", err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, d.Name())
	if err := os.WriteFile(name, deb, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "dpkg-deb", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("dpkg-deb %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for field, want := range map[string]string{"Package": "dormant", "Version": "1.2.3~rc.1", "Architecture": "amd64", "Maintainer": "A B <a@b.example>"} {
		if got := strings.TrimSpace(run("--field", name, field)); got != want {
			t.Errorf("field %s = %q; want %q", field, got, want)
		}
	}
	listing := run("--contents", name)
	for _, f := range files {
		if !strings.Contains(listing, " ./"+f.Name+"\n") {
			t.Errorf("dpkg-deb --contents does not list %s", f.Name)
		}
	}
	run("--raw-extract", name, dir+"/out")
	for _, f := range files {
		got, err := os.ReadFile(filepath.Join(dir, "out", f.Name))
		if err != nil || !bytes.Equal(got, f.Data) {
			t.Errorf("%s: %d bytes, %v; want %d", f.Name, len(got), err, len(f.Data))
		}
	}
	check := exec.CommandContext(t.Context(), "md5sum", "--check", "--quiet", "DEBIAN/md5sums")
	check.Dir = filepath.Join(dir, "out")
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("md5sums: %v\n%s", err, out)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", filepath.Join(dir, "out/DEBIAN", script)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

func somePages() Pages {
	var man Files
	man.Add("dormant.1", []byte(".TH dormant 1\n"))
	return Pages{Man: man, Bash: []byte("b"), Zsh: []byte("z"), Fish: []byte("f"), PowerShell: []byte("p")}
}

func TestVersions(t *testing.T) {
	for _, tt := range []struct{ in, want, debian string }{
		{"1.2.3", "1.2.3", "1.2.3"}, {"v0.1.0", "0.1.0", "0.1.0"}, {"1.2.3-rc.1", "1.2.3-rc.1", "1.2.3~rc.1"}, {"", "", ""},
		{"0.0.0-20261122110433-4f92f4b381ab", "", "0.0.0~20261122110433.4f92f4b381ab"}, // Go's own, for a commit without a tag
		{"1.2", "", "1.2"}, {"2.0.0", "", "2.0.0"}, {"10.0.0", "", "10.0.0"}, {"01.2.3", "", "01.2.3"}, {"1.2.3 x", "", "1.2.3 x"}, {"../1.2.3", "", "../1.2.3"},
	} {
		got, err := ParseVersion(tt.in)
		if got != tt.want || (err == nil) != (tt.want == tt.in || "v"+tt.want == tt.in) {
			t.Errorf("ParseVersion(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
		if got := DebianVersion(strings.TrimPrefix(tt.in, "v")); got != tt.debian {
			t.Errorf("DebianVersion(%q) = %q; want %q", tt.in, got, tt.debian)
		}
	}
}
