package reports_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dormant/reports"
	"dormant/reports/sinktest"
)

// save writes findings to a file in the given format.
func save(t *testing.T, name string, findings []reports.Finding) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	s, err := reports.OpenFile(path, options())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if err := s.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// stranger runs another program, or skips the test where it is not installed.
func stranger(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skipf("no %s here", args[0])
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestNmapStylesheet renders our XML with nmap's own stylesheet.
func TestNmapStylesheet(t *testing.T) {
	const sheet = "/usr/share/nmap/nmap.xsl"
	if _, err := os.Stat(sheet); err != nil {
		t.Skip("nmap's stylesheet is not installed")
	}
	page := stranger(t, "", "xsltproc", "--nonet", sheet, save(t, "audit.xml", sinktest.Findings()))
	for _, want := range []string{"10.0.1.20", "Sentinel LDK License Manager", "hasp-acc", "dormant", "2001:db8::6"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	page = stranger(t, "", "xsltproc", "--nonet", sheet, save(t, "audit.xml", sinktest.Hostile()))
	if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img") {
		t.Error("a banner made an element of the stylesheet's page")
	}
}

// TestCSVInSQLite imports our CSV and asks for it.
func TestCSVInSQLite(t *testing.T) {
	path := save(t, "audit.csv", append(sinktest.Findings(), sinktest.Hostile()...))
	out := stranger(t, ".mode csv\n.import "+path+" f\n"+
		"select count(*), sum(port), max(length(evidence)) from f;\n"+
		"select version, rtt_ms from f where verdict = 'license_manager' and transport = 'tcp';\n", "sqlite3", ":memory:")
	lines := strings.Fields(out)
	n, want := len(sinktest.Findings())+len(sinktest.Hostile()), "v18.00,1.234"
	if len(lines) != 2 || !strings.HasPrefix(lines[0], itoa(n)+",") || !strings.HasSuffix(lines[0], ",200") || lines[1] != want {
		t.Errorf("sqlite says %q; want %d rows, evidence of at most 200, and %s", lines, n, want)
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// TestCSVInPython reads it with Python's csv module in strict mode.
func TestCSVInPython(t *testing.T) {
	path := save(t, "audit.csv", sinktest.Hostile())
	out := stranger(t, "", "python3", "-c", `
import csv, sys
rows = list(csv.reader(open(sys.argv[1], newline="", encoding="ascii"), strict=True))
print(len(rows), {len(r) for r in rows})
bad = [c for r in rows for c in r if c.lstrip()[:1] in ("=", "+", "-", "@") and c.strip()]
print(bad)`, path)
	if want := itoa(len(sinktest.Hostile())+1) + " {44}\n[]\n"; out != want {
		t.Errorf("python says %q, want %q", out, want)
	}
}

func TestManifest(t *testing.T) {
	dir := t.TempDir()
	audit := filepath.Join(dir, "audit.csv")
	if err := os.WriteFile(audit, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := reports.NewManifest(run(), audit)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "manifest.json")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got reports.Manifest
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := reports.ManifestFile{
		Name: "audit.csv", Bytes: 3, SHA256: "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", // of "abc", FIPS 180-2
	}
	if len(got.Files) != 1 || got.Files[0] != want || got.Complete || len(got.Why) != 1 || got.Run.Seed != 7 {
		t.Errorf("manifest = %s", text)
	}
	if _, err := reports.NewManifest(run(), filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there has a digest")
	}
}

// TestNdiff compares two of our XML files with nmap's own tool: the same run is
// no difference, and a port that went away is named.
func TestNdiff(t *testing.T) {
	if _, err := exec.LookPath("ndiff"); err != nil {
		t.Skip("no ndiff here")
	}
	all := sinktest.Findings()
	before := save(t, "before.xml", all)
	if out := stranger(t, "", "ndiff", before, save(t, "same.xml", all)); out != "" {
		t.Errorf("ndiff of the same findings says %q", out)
	}
	cmd := exec.CommandContext(t.Context(), "ndiff", before, save(t, "after.xml", all[1:]))
	out, err := cmd.Output() // it exits 1 on a difference
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		t.Fatalf("ndiff: %v, want exit 1\n%s", err, out)
	}
	if !strings.Contains(string(out), "-cad-lic01.corp (10.0.1.20, ") || !strings.Contains(string(out), "-1947/tcp open  hasp-acc ") {
		t.Errorf("ndiff does not name the port that went away:\n%s", out)
	}
}
