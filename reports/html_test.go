package reports_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/reports/sinktest"

	"golang.org/x/net/html"
)

// elementText returns the text of the one element with this name.
func elementText(t *testing.T, page []byte, name string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			return n.FirstChild.Data
		}
	}
	t.Fatalf("no <%s>", name)
	return ""
}

// TestHTMLPolicyMatches computes the hashes as a browser does: over what stands
// between the tags.
func TestHTMLPolicyMatches(t *testing.T) {
	page := render(t, "html", options(), sinktest.Findings())
	for _, name := range []string{"style", "script"} {
		sum := sha256.Sum256([]byte(elementText(t, page, name)))
		source := name + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		if !strings.Contains(html.UnescapeString(string(page)), source) {
			t.Errorf("the policy lacks %s", source)
		}
	}
}

// TestHTMLSaysHintsOnce: the note of a row holds them too, for there it is all
// that a reader has.
func TestHTMLSaysHintsOnce(t *testing.T) {
	v := fingerprint.Verdict{
		Class: fingerprint.DevServer, Reason: "debugger", Confidence: 90, Service: "jdwp", Severity: "high",
		Hints: []string{"Whoever connects runs code <here>.", "Only one at a time."}, Settle: []string{"Ask the owner of the process."},
	}
	for _, tt := range []struct {
		name, note, want string
		hints            []string
	}{
		{name: "as it is made", note: "debugger; " + strings.Join(v.Hints, "; ") + "; to settle it: " + v.Settle[0], want: "<dt>Note</dt><dd>debugger</dd>", hints: v.Hints},
		{name: "with the process before it", note: "java (pid 7); debugger; " + strings.Join(v.Hints, "; "), want: "<dt>Note</dt><dd>java (pid 7); debugger</dd>", hints: v.Hints},
		{name: "no hints", note: "debugger; to settle it: " + v.Settle[0], want: "<dt>Note</dt><dd>debugger</dd>"},
		{name: "a note of its own", note: "seen by hand", want: "<dt>Note</dt><dd>seen by hand</dd>", hints: v.Hints},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, full := sinktest.Findings()[0], v
			full.Hints = tt.hints
			f.Full, f.Note = &full, tt.note
			page := string(render(t, "html", options(), []reports.Finding{f}))
			if !strings.Contains(page, tt.want) {
				t.Errorf("the page lacks %q", tt.want)
			}
			for _, text := range []string{"Only one at a time", "Ask the owner of the process"} {
				if n := strings.Count(page, text); n > 1 {
					t.Errorf("%q stands %d times", text, n)
				}
			}
		})
	}
}

func TestHTMLAnswer(t *testing.T) {
	quiet := func() reports.Run {
		r := run()
		r.Scan.Complete, r.Scan.Why, r.Identify = true, nil, reports.Identification{}
		return r
	}
	all := sinktest.Findings()
	since := func(words ...string) (some []reports.Finding) { // harmless ones
		for _, word := range words {
			f := all[4]
			f.Change = word
			some = append(some, f)
		}
		return some
	}
	for _, tt := range []struct {
		name     string
		run      func() reports.Run
		findings []reports.Finding
		want     string
	}{
		{name: "everything", run: run, findings: all, want: "5 of 10 open ports need attention: 2 license managers, 1 open shell or debug console, " +
			"1 possible command-and-control listener, 1 tunnel or proxy. Since last time: 1 new, 1 changed, 1 gone. The run is incomplete: 1 probe could not be sent."},
		{name: "one", run: quiet, findings: all[1:2], want: "1 of 1 open port needs attention: 1 open shell or debug console."},
		{name: "harmless", run: quiet, findings: all[3:5], want: "2 open ports answered, and none needs attention: " +
			"1 development server, 1 known service on an unexpected port. Since last time: 1 new, 1 changed."},
		{name: "closed", run: quiet, findings: all[8:9], want: "Nothing is open on the ports that were asked. Since last time: 1 gone."},
		{name: "as last time", run: quiet, findings: since("same", "same"), want: "2 open ports answered, and none needs attention: 2 development servers. Nothing changed since last time."},
		{name: "partly asked before", run: quiet, findings: since("same", "first_run"), want: "2 open ports answered, and none needs attention: 2 development servers."},
		{name: "new beside what is asked first", run: quiet, findings: since("new", "first_run"),
			want: "2 open ports answered, and none needs attention: 2 development servers. Since last time: 1 new, 1 asked for the first time."},
		{name: "not asked again", run: quiet, findings: since("not_scanned"), want: "1 open port answered, and none needs attention: 1 development server."},
		{name: "no last time", run: quiet, findings: since("first_run"), want: "1 open port answered, and none needs attention: 1 development server."},
		{name: "nobody", run: func() reports.Run { return reports.Run{} }, want: "Nothing answered on the ports that were asked."},
	} {
		page := render(t, "html", reports.Options{Run: tt.run}, tt.findings)
		if got := elementText(t, page, "h1"); got != tt.want {
			t.Errorf("%s: answer = %q, want %q", tt.name, got, tt.want)
		}
		if counts := strings.Contains(string(page), "changed since last time"); counts != strings.Contains(tt.want, "ince last time") {
			t.Errorf("%s: a number of changes: %v, unlike the answer", tt.name, counts)
		}
	}
}

// browse loads a page in headless Chromium and returns the document after its
// script ran.
func browse(t *testing.T, file, fragment string) string {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium here")
	}
	if testing.Short() {
		t.Skip("a browser takes seconds")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND",
		"--user-data-dir="+t.TempDir(), "--dump-dom", "file://"+file+fragment)
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("chromium does not run here: %v", err)
	}
	return string(out)
}

func TestHTMLInBrowser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	write := func(findings []reports.Finding) {
		if err := os.WriteFile(file, render(t, "html", options(), findings), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	row := regexp.MustCompile(`<tr id="r(\d+)"( class="(later)?")?>`)
	visible := func(dom string) (ids string) {
		for _, m := range row.FindAllStringSubmatch(dom, -1) {
			if m[3] == "" {
				ids += m[1] + " "
			}
		}
		return strings.TrimSpace(ids)
	}
	write(sinktest.Findings())
	for _, tt := range []struct{ fragment, want string }{
		{fragment: "#q=needs+attention", want: "1 2 3 7 10"},
		{fragment: "#sort=1", want: "4 1 5 10 2 6 3 8 7 9"},
		{fragment: "#q=license&sort=-3", want: "1 7"},
	} {
		dom := browse(t, file, tt.fragment)
		if got := visible(dom); got != tt.want {
			t.Errorf("%q: visible rows %s, want %s", tt.fragment, got, tt.want)
		}
	}
	card := regexp.MustCompile(`<details class="card c-\w+ later"`)
	if dom := browse(t, file, "#q=license"); len(card.FindAllString(dom, -1)) != 8 {
		t.Error("#q=license does not leave the cards of its 2 rows alone")
	}
	if dom := browse(t, file, "#f6"); !regexp.MustCompile(`<details[^>]*id="f6"[^>]* open=""`).MatchString(dom) {
		t.Error("#f6 does not unfold its card")
	}

	write(sinktest.Hostile())
	dom := browse(t, file, "")
	if n := strings.Count(dom, "<script"); n != 1 {
		t.Errorf("%d scripts after loading hostile banners, want 1", n)
	}
	if strings.Contains(dom, "<img") || !strings.Contains(dom, `class="js"`) {
		t.Error("a banner made an element, or our own script did not run")
	}
}

// TestHTMLIsBounded: more findings than cards are counted, not dropped.
func TestHTMLIsBounded(t *testing.T) {
	f := sinktest.Findings()[3]
	f.Full, f.Dialogue = nil, nil
	findings := make([]reports.Finding, 10_003)
	addr := netip.MustParseAddr("10.0.0.0")
	for i := range findings {
		addr = addr.Next()
		f.IP = addr
		findings[i] = f
	}
	page := render(t, "html", reports.Options{}, findings)
	if n, err := countHTML(page); err != nil || n != len(findings) {
		t.Errorf("the page counts %d findings, %v; want %d", n, err, len(findings))
	}
	if !strings.Contains(string(page), "3 more open ports are not shown on this page") {
		t.Error("the page does not say what it leaves out")
	}
	for what, later := range map[string]string{"row": `" class="later"><td`, "card": ` later" id="f`} {
		if n := strings.Count(string(page), later); n != 9_750 {
			t.Errorf("%d times a %s that is not laid out at first, want 9750", n, what)
		}
	}
}

// TestHTMLMapIsBounded: of many networks those with most open ports are drawn.
func TestHTMLMapIsBounded(t *testing.T) {
	f := sinktest.Findings()[3]
	var findings []reports.Finding
	for i := range 14 {
		f.IP = netip.AddrFrom4([4]byte{10, byte(i), 0, 1})
		findings = append(findings, f)
	}
	f.IP = netip.AddrFrom4([4]byte{10, 13, 0, 2})
	page := string(render(t, "html", reports.Options{}, append(findings, f)))
	if n := strings.Count(page, `role="img"`); n != 12 || !strings.Contains(page, "and 2 more networks") || !strings.Contains(page, "10.13.0.0/16: 2 open ports") {
		t.Errorf("%d squares, want 12, the fullest among them, and 2 more named", n)
	}
}
