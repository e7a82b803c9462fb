package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dormant/cmd/internal/web"
	"dormant/reports"
	"dormant/reports/sinktest"
)

// asProxy serves the world to a browser that is not asked for a token, as a proxy
// in front would: headless Chromium can set no header and fill in no form.
func asProxy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-User", "ada")
		next.ServeHTTP(rw, r)
	})
}

// chromium runs the browser on a page of the world and returns what it writes.
func (w *world) chromium(t *testing.T, path string, more ...string) string {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium here")
	}
	if testing.Short() {
		t.Skip("a browser takes seconds")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--no-proxy-server", "--user-data-dir=" + t.TempDir(), "--enable-logging=stderr", "--v=0"}, more...)
	cmd := exec.CommandContext(ctx, program, append(args, w.URL+path)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("chromium does not run here: %v", err)
	}
	for line := range strings.Lines(said.String()) {
		ours := strings.Contains(line, "CONSOLE") && !strings.Contains(line, "source: chrome://") // it has pages of its own
		if ours || strings.Contains(line, "Refused to") {
			t.Errorf("%s: the browser complains: %s", path, line)
		}
	}
	return string(out)
}

func browsed(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, func(c *web.Config) {
		c.Token, c.ProxyHeader, c.ProxyFrom = "", "X-Forwarded-User", prefixes("127.0.0.1/32")
	})
	w.serve(asProxy(w.page))
	return w
}

// TestBrowser loads every page in a real browser: the style and the script are
// loaded under the policy, nothing is refused, and the numbers move.
func TestBrowser(t *testing.T) {
	w := browsed(t)
	w.month(t)
	for _, path := range []string{"/runs", "/trends", "/runs/" + id(9) + "/10.0.1.23/tcp/3712"} {
		dom := w.chromium(t, path, "--virtual-time-budget=2000", "--dump-dom")
		if !strings.Contains(dom, "<footer>") || strings.Contains(dom, "<style") {
			t.Errorf("%s: no whole page, or a style within it", path)
		}
		if path == "/runs" && !strings.Contains(dom, "moves by itself") {
			t.Errorf("%s: the script did not run", path)
		}
	}
	st := status()
	st.Runs[0].Asked, st.Runs[0].Open = 1_234_567, 513
	w.fleet.set(status(), st) // the page has the old ones, the script gets the new ones
	after := w.chromium(t, "/runs", "--virtual-time-budget=12000", "--dump-dom")
	if m := regexp.MustCompile(`data-f="asked">([\d,]+)<`).FindStringSubmatch(after); m == nil || m[1] != "1,234,567" {
		t.Errorf("asked is %v after the script looked, want 1,234,567", m)
	}
}

// TestBrowserLeftOpen: a page that is left open for long does not call what it
// shows the present when the server was started again, or the session is over.
func TestBrowserLeftOpen(t *testing.T) {
	w := browsed(t)
	st := status()
	st.Runs = st.Runs[1:]
	w.fleet.set(status(), st)
	if dom := w.chromium(t, "/runs", "--virtual-time-budget=12000", "--dump-dom"); strings.Contains(dom, `data-run="`+id(900)) || !strings.Contains(dom, `data-run="`+id(901)) {
		t.Errorf("a run that the server does not know any more is still under way:\n%s", dom)
	}
	w.serve(asProxy(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live.json" {
			http.Error(rw, "Log in first", http.StatusUnauthorized)
			return
		}
		w.page.ServeHTTP(rw, r)
	})))
	if dom := w.chromium(t, "/runs", "--virtual-time-budget=12000", "--dump-dom"); !strings.Contains(dom, "you are logged out") {
		t.Errorf("the page does not say that the session is over:\n%s", dom)
	}
}

// TestBrowserHostile: what peers said makes no element, and no script of it runs.
func TestBrowserHostile(t *testing.T) {
	w := browsed(t)
	w.record(t, id(1), place("hq", "lan"), "j", now(), nil, sinktest.Hostile())
	script := fmt.Sprintf("/runs/%s/10.9.%d.1/tcp/3588", id(1), slices.Index(sinktest.Attacks(), "<script>alert(1)</script>"))
	if dom := w.chromium(t, script, "--virtual-time-budget=2000", "--dump-dom"); strings.Count(dom, "<script") != 1 || !strings.Contains(dom, "&lt;script&gt;") {
		t.Errorf("no page of a hostile finding, or a script of it:\n%s", dom)
	}
	dom := w.chromium(t, "/findings", "--virtual-time-budget=2000", "--dump-dom")
	if n := strings.Count(dom, "<script"); n != 1 || strings.Contains(dom, "<img") || strings.Contains(dom, "onerror=\"") {
		t.Errorf("%d scripts, or an element of a banner:\n%s", n, dom)
	}
}

// hostileFew are findings for a picture: a script, a text without a space, and one
// that is written from the right.
func hostileFew() []reports.Finding {
	var few []reports.Finding
	for i, s := range []string{strings.Repeat("W", 300), "<script>alert(1)</script>", "\u202egnirts desrever\u202c", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u2067abc\u2069"} {
		f := sinktest.Hostile()[0]
		f.IP = netip.AddrFrom4([4]byte{10, 9, byte(255 - i), 1})
		f.Hostname, f.Service, f.Product, f.Version, f.Evidence, f.Owner, f.MACVendor, f.Note = s, s, s, s, s, s, s, s
		if f.Full != nil {
			full := *f.Full
			full.Hints, full.Settle, f.Full = []string{s}, []string{s}, &full
		}
		few = append(few, f)
	}
	return few
}

// TestScreenshots writes pictures of the pages into DORMANT_SCREENSHOTS, for
// people.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("DORMANT_SCREENSHOTS")
	if dir == "" {
		t.Skip("DORMANT_SCREENSHOTS names no folder")
	}
	w := browsed(t)
	w.month(t)
	paths := map[string]string{
		"overview": "/", "sites": "/sites", "jobs": "/jobs", "runs": "/runs", "run": "/runs/" + id(9), "live": "/runs/" + id(900), "findings": "/findings",
		"login": "/login", "finding": "/runs/" + id(9) + "/10.0.1.23/tcp/3712", "changes": "/changes?from=" + id(6) + "&to=" + id(7), "trends": "/trends", "dead": "/dead",
	}
	w.record(t, id(30), place("hostile", "lan"), "<b>job</b>", now(), sinktest.Attacks()[:9], hostileFew())
	paths["hostile"], paths["hostile-finding"] = "/findings?site=hostile", "/runs/"+id(30)+"/10.9.255.1/tcp/3588"
	only := os.Getenv("DORMANT_SCREENSHOTS_ONLY")
	for name, path := range paths {
		if only != "" && !strings.Contains(only, name) {
			continue
		}
		for look, args := range map[string][]string{
			"wide": {"--window-size=1600,1400"}, "narrow": {"--window-size=400,1700"}, "dark": {"--window-size=1200,1400", "--blink-settings=preferredColorScheme=0"},
		} {
			w.chromium(t, path, append(args, "--hide-scrollbars", "--screenshot="+filepath.Join(dir, name+"-"+look+".png"))...)
		}
		w.chromium(t, path, "--no-pdf-header-footer", "--print-to-pdf="+filepath.Join(dir, name+".pdf"))
	}
}
