package web_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dormant/cmd/internal/web"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/sinktest"
	"dormant/scanner"

	"github.com/xuri/excelize/v2"
	"golang.org/x/net/html"
)

// TestHeaders holds every answer, also of a refusal, to what it must tell the
// browser.
func TestHeaders(t *testing.T) {
	w := newWorld(t, nil)
	w.month(t)
	in, out := w.login(t), client(t)
	want := map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	}
	paths := append([]string{"/login", "/static/none"}, append(inside()[http.MethodGet], inside()[http.MethodPost]...)...)
	for _, c := range []*http.Client{in, out} {
		for _, path := range paths {
			got := w.get(t, c, path, nil)
			for name, value := range want {
				if got.header.Get(name) != value {
					t.Errorf("%s: %s is %q, want %q", path, name, got.header.Get(name), value)
				}
			}
			policy := got.header.Get("Content-Security-Policy")
			for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'", "style-src 'self'", "script-src 'self'"} {
				if !strings.Contains(policy, part) {
					t.Errorf("%s: the policy %q lacks %s", path, policy, part)
				}
			}
			if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || strings.Contains(policy, "http") {
				t.Errorf("%s: the policy %q allows too much", path, policy)
			}
		}
	}
}

// TestNothingFromOutside: no page names another host, has a style or a script
// within it, or an attribute that is one; every reference leads somewhere.
func TestNothingFromOutside(t *testing.T) {
	w := newWorld(t, nil)
	w.month(t)
	c := w.login(t)
	checked := map[string]bool{}
	for _, path := range append(inside()[http.MethodGet], "/login", "/changes?from="+id(6)+"&to="+id(7), "/runs/"+id(900)) {
		got := w.get(t, c, path, nil)
		if !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
			continue
		}
		ids := map[string]bool{}
		for n := range parse(t, got.body).Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			for _, a := range n.Attr {
				switch {
				case a.Key == "id":
					if ids[a.Val] {
						t.Errorf("%s: the id %q is there twice", path, a.Val)
					}
					ids[a.Val] = true
				case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
					t.Errorf("%s: <%s %s=%q>", path, n.Data, a.Key, a.Val)
				case (a.Key == "href" || a.Key == "src" || a.Key == "action") && (strings.Contains(a.Val, "//") || strings.Contains(a.Val, "javascript:")):
					t.Errorf("%s: <%s %s=%q> leads away", path, n.Data, a.Key, a.Val)
				case n.Data == "a" && a.Key == "href" && strings.HasPrefix(a.Val, "/") && !checked[a.Val] && !strings.Contains(a.Val, "/report/"):
					checked[a.Val] = true
					if code := w.get(t, c, a.Val, nil).code; code != http.StatusOK && !strings.Contains(a.Val, id(901)) {
						t.Errorf("%s links to %s, which answers %d", path, a.Val, code)
					}
				}
			}
			if n.Data == "style" || n.Data == "script" && n.FirstChild != nil {
				t.Errorf("%s: a <%s> within the page", path, n.Data)
			}
			if n.Data == "input" && attr(n, "type") != "hidden" && n.Parent.Data != "label" && attr(n, "id") == "" {
				t.Errorf("%s: an input without a label", path)
			}
			if (n.Data == "th") && attr(n, "scope") == "" {
				t.Errorf("%s: a heading of a table without its scope", path)
			}
		}
		if !strings.Contains(got.body, `<html lang="en">`) || strings.Count(got.body, "<h1") != 1 || strings.Count(got.body, "<main") != 1 {
			t.Errorf("%s: want a language, one h1 and one main", path)
		}
	}
	if len(checked) < 40 {
		t.Errorf("only %d links were followed", len(checked))
	}
}

// TestHostile: nothing that a peer or an agent said is markup on any page.
func TestHostile(t *testing.T) {
	w := newWorld(t, nil)
	found := sinktest.Hostile()
	w.record(t, id(1), place("hq", "lan"), "<b>job</b>", now().AddDate(0, 0, -1), nil, found[:1])
	w.record(t, id(2), place("hq", "lan"), "<b>job</b>", now(), sinktest.Attacks(), found)
	st := status()
	for _, a := range sinktest.Attacks() {
		st.Faults = append(st.Faults, a)
		st.Agents[1].Last.Host, st.Agents[1].Last.Program, st.Agents[1].Last.Fault, st.Agents[1].Last.Run, st.Agents[1].Last.Backend = a, a, a, a, a
		st.Dead[0].Why, st.Runs[0].Why = a, []string{a}
	}
	w.fleet.set(st)
	c := w.login(t)
	paths := []string{"/", "/sites", "/runs", "/runs/" + id(2), "/runs/" + id(900), "/findings", "/changes", "/trends", "/dead", "/findings?text=%3Cscript%3Ealert(1)%3C/script%3E",
		"/findings?run=%22%3E%3Cimg%20src=x%3E", "/findings?site=%3Cimg%3E", "/%3Cimg%20src=x%3E", "/login?next=%22%3E%3Cimg%3E"}
	for _, f := range found {
		if f.State.String() == "open" {
			paths = append(paths, "/runs/"+id(2)+"/"+f.IP.String()+"/"+f.Transport.String()+"/"+reportsPort(f))
		}
	}
	for _, path := range paths {
		got := w.get(t, c, path, nil)
		for n := range parse(t, got.body).Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			if n.Data == "img" || n.Data == "iframe" || n.Data == "b" && n.FirstChild != nil && n.FirstChild.Data == "job" || n.Data == "script" && attr(n, "src") == "" {
				t.Errorf("%s: an element <%s> that is not ours", path, n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
					t.Errorf("%s: <%s %s=%q>", path, n.Data, a.Key, a.Val)
				}
			}
		}
		if i := strings.IndexFunc(got.body, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x202e }); i >= 0 {
			t.Errorf("%s: a control character %q", path, got.body[i:min(len(got.body), i+20)])
		}
	}
}

// TestDownloads reads every format back.
func TestDownloads(t *testing.T) {
	w := newWorld(t, nil)
	w.month(t)
	c := client(t)
	bearer := http.Header{"Authorization": {"Bearer " + token}, "Accept": {"*/*"}}
	readers := map[string]func(body string) error{
		"csv": func(body string) error {
			rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
			if err == nil && len(rows) != 1+10 {
				err = errors.New("not ten open ports")
			}
			return err
		},
		"jsonl": func(body string) error {
			for line := range strings.Lines(body) {
				if err := json.Unmarshal([]byte(line), &map[string]any{}); err != nil {
					return err
				}
			}
			return nil
		},
		"xlsx": func(body string) error {
			f, err := excelize.OpenReader(strings.NewReader(body))
			if err == nil {
				err = f.Close()
			}
			return err
		},
	}
	for name := range reports.Formats() {
		got := w.get(t, c, "/runs/"+id(9)+"/report/"+name, bearer)
		if got.code != http.StatusOK || len(got.body) == 0 {
			t.Errorf("%s: %d, %d bytes", name, got.code, len(got.body))
			continue
		}
		ending := reports.Formats()[name].Extensions[0]
		if d := got.header.Get("Content-Disposition"); d != `attachment; filename="dormant-20261025-1000-hq-lan`+ending+`"` {
			t.Errorf("%s: named %s", name, d)
		}
		if p := got.header.Get("Content-Security-Policy"); !strings.HasSuffix(p, "; sandbox") {
			t.Errorf("%s: may act as a page of ours: %s", name, p)
		}
		if read := readers[name]; read != nil {
			if err := read(got.body); err != nil {
				t.Errorf("%s: %v:\n%.300s", name, err, got.body)
			}
		}
		if again := w.do(t, c, http.MethodHead, "/runs/"+id(9)+"/report/"+name, "", bearer); again.code != http.StatusOK || again.body != "" {
			t.Errorf("HEAD %s: %d, %d bytes", name, again.code, len(again.body))
		}
	}
	all := w.get(t, c, "/runs/"+id(9)+"/report/csv?states=all", bearer)
	if rows := strings.Count(all.body, "\r\n"); rows <= 11 {
		t.Errorf("all states: %d rows", rows)
	}
	for path, code := range map[string]int{"/runs/" + id(9) + "/report/exe": 404, "/runs/" + id(77) + "/report/csv": 404} {
		if got := w.get(t, c, path, bearer); got.code != code {
			t.Errorf("%s: %d, want %d", path, got.code, code)
		}
	}
}

// broken is a store that fails in the middle of a report.
type broken struct {
	*history.Store
	after int
}

func (b *broken) Findings(ctx context.Context, run history.Run, fn func(reports.Finding) error) error {
	n := 0
	return b.Store.Findings(ctx, run, func(f reports.Finding) error {
		if n++; n > b.after {
			return errors.New("the disk is gone: secret-path")
		}
		return fn(f)
	})
}

func (b *broken) Seen(context.Context, history.Run, scanner.Target) (first, last time.Time, err error) {
	return first, last, errors.New("the disk is gone: secret-path")
}

func (b *broken) Places(context.Context) ([]history.Place, error) {
	return nil, errors.New("the disk is gone: secret-path")
}

// TestCutReport: half a report never looks like a whole one.
func TestCutReport(t *testing.T) {
	for _, format := range []string{"csv", "html", "xlsx"} {
		w := newWorld(t, nil)
		w.month(t)
		conf := w.config
		conf.Store = &broken{w.store, 3}
		page, err := web.New(conf)
		if err != nil {
			t.Fatal(err)
		}
		w.serve(page)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+"/runs/"+id(9)+"/report/"+format, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		got, err := client(t).Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, got.Body)
			got.Body.Close() //nolint:errcheck // it failed already
		}
		if err == nil {
			t.Errorf("%s: a cut report came as a whole one", format)
		}
		if !strings.Contains(w.log.String(), "secret-path") {
			t.Errorf("%s: the log does not say why", format)
		}
	}
}

// TestBrokenStore: a page says that it cannot, the log says why, and the
// overview still shows the fleet.
func TestBrokenStore(t *testing.T) {
	w := newWorld(t, nil)
	w.month(t)
	conf := w.config
	conf.Store = &broken{Store: w.store}
	page, err := web.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	page.SetClock(now)
	w.serve(page)
	c := w.login(t)
	for path, code := range map[string]int{"/": 200, "/findings": 503, "/trends": 503, "/sites": 200, "/runs/" + id(9) + "/10.0.1.23/tcp/3712": 503} {
		got := w.get(t, c, path, nil)
		if got.code != code || strings.Contains(got.body, "secret-path") {
			t.Errorf("%s: %d, want %d without the reason: %s", path, got.code, code, words(t, got.body))
		}
		if path == "/" && !strings.Contains(words(t, got.body), "probe-branch of branch, last seen") {
			t.Errorf("the overview does not show the fleet: %s", words(t, got.body))
		}
	}
	if !strings.Contains(w.log.String(), "secret-path") {
		t.Error("the log does not say why")
	}
}

func TestLive(t *testing.T) {
	w := newWorld(t, nil)
	got := w.get(t, w.login(t), "/live.json", nil)
	var live struct {
		Runs []struct{ ID, State, Asked, Rate, Left string }
	}
	if err := json.Unmarshal([]byte(got.body), &live); err != nil || len(live.Runs) != 3 {
		t.Fatalf("%v: %s", err, got.body)
	}
	if r := live.Runs[0]; r.ID != id(900) || r.State != "running" || r.Asked != "995,328" || r.Rate != "638" || r.Left != "35 min" {
		t.Errorf("%+v", r)
	}
}

func TestRun(t *testing.T) {
	ready := make(chan net.Addr, 1)
	w := newWorld(t, func(c *web.Config) { c.Listen, c.Ready = "127.0.0.1:0", func(a net.Addr) { ready <- a } })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.page.Run(ctx) }()
	addr := <-ready
	r, err := client(t).Get("http://" + addr.String() + "/login")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil || !bytes.Contains(text, []byte("Log in")) {
		t.Errorf("%v: %s", err, text)
	}
	taken := w.config
	taken.Listen, taken.Ready = addr.String(), nil
	second, err := web.New(taken)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(ctx); err == nil || !strings.Contains(err.Error(), "--web") {
		t.Errorf("a second one on %v: %v, want that it is taken", addr, err)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run = %v after its context ended, want nil", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Run did not end")
	}
}

// TestRunTLS serves over TLS as another machine would see it, by HTTP/2; there,
// too, half a report is no whole one.
func TestRunTLS(t *testing.T) {
	w := newWorld(t, nil)
	w.month(t)
	lent := httptest.NewUnstartedServer(nil)
	lent.StartTLS() // for its certificate
	defer lent.Close()
	ready := make(chan net.Addr, 1)
	conf := w.config
	conf.Listen, conf.Ready, conf.TLS = "127.0.0.1:0", func(a net.Addr) { ready <- a }, &tls.Config{Certificates: lent.TLS.Certificates}
	conf.Store = &broken{w.store, 3}
	page, err := web.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- page.Run(ctx) }()
	base := "https://" + (<-ready).String()
	roots := x509.NewCertPool()
	roots.AddCert(lent.Certificate())
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	defer c.CloseIdleConnections()
	ask := func(path string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		got, err := c.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, got.Body)
			got.Body.Close() //nolint:errcheck // read, or failed already
		}
		return got, err
	}
	if got, err := ask("/live.json"); err != nil || got.ProtoMajor != 2 || got.StatusCode != http.StatusOK || got.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ask("/runs/" + id(9) + "/report/csv"); err == nil {
		t.Error("a cut report came as a whole one")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
}
