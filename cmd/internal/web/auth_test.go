package web_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"dormant/cmd/internal/web"
)

// everything that is for people with a name, by method.
func inside() map[string][]string {
	return map[string][]string{
		http.MethodGet: {"/", "/sites", "/jobs", "/runs", "/runs/" + id(9), "/runs/" + id(9) + "/10.0.1.23/tcp/3712", "/runs/" + id(9) + "/report/csv",
			"/findings", "/breaches", "/changes", "/trends", "/dead", "/live.json", "/nosuch"},
		http.MethodPost: {"/jobs/by-hand/start", "/agents/probe-hq/revoke", "/logout"},
	}
}

// TestNobody: without a name there is a way to the form and nothing else.
func TestNobody(t *testing.T) {
	w := newWorld(t, nil)
	w.month(t)
	c := client(t)
	for method, paths := range inside() {
		for _, path := range paths {
			browser := w.do(t, c, method, path, "", nil)
			script := w.do(t, c, method, path, "", http.Header{"Accept": {"*/*"}})
			if method == http.MethodGet {
				if want := "/login?next=" + url.QueryEscape(path); browser.code != http.StatusSeeOther || browser.header.Get("Location") != want {
					t.Errorf("GET %s: %d to %q, want the form at %q", path, browser.code, browser.header.Get("Location"), want)
				}
			} else if browser.code != http.StatusUnauthorized {
				t.Errorf("POST %s: %d, want 401", path, browser.code)
			}
			if script.code != http.StatusUnauthorized || script.header.Get("WWW-Authenticate") == "" || strings.Contains(script.body, "<") {
				t.Errorf("%s %s of a script: %d %q, want 401 in words", method, path, script.code, script.body)
			}
			for _, got := range []answer{browser, script} {
				if strings.Contains(got.body, "Cobalt") || strings.Contains(got.body, "cad-lic01") || strings.Contains(got.body, "Host: scan01") {
					t.Errorf("%s %s tells nobody what was found: %s", method, path, got.body)
				}
			}
		}
	}
	if len(w.fleet.started)+len(w.fleet.revoked) > 0 {
		t.Errorf("nobody did %v %v", w.fleet.started, w.fleet.revoked)
	}
}

func TestLogin(t *testing.T) {
	w := newWorld(t, nil)
	for _, tt := range []struct {
		name, token, next string
		code              int
		to                string
	}{
		{name: "right", token: token, code: http.StatusSeeOther, to: "/"},
		{name: "right, and back", token: token, next: "/findings?port=1947", code: http.StatusSeeOther, to: "/findings?port=1947"},
		{name: "to another host", token: token, next: "//evil.example/", code: http.StatusSeeOther, to: "/"},
		{name: "wrong", token: token[1:], code: http.StatusUnauthorized},
		{name: "none", code: http.StatusUnauthorized},
	} {
		got := w.post(t, client(t), "/login", url.Values{"token": {tt.token}, "next": {tt.next}}, nil)
		if got.code != tt.code || got.header.Get("Location") != tt.to {
			t.Errorf("%s: %d to %q, want %d to %q", tt.name, got.code, got.header.Get("Location"), tt.code, tt.to)
		}
		cookie := got.header.Get("Set-Cookie")
		if in := tt.code == http.StatusSeeOther; in != (cookie != "") {
			t.Errorf("%s: cookie %q", tt.name, cookie)
		} else if in && (!strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") || strings.Contains(cookie, token)) {
			t.Errorf("%s: cookie %q, want it closed to scripts and other sites", tt.name, cookie)
		}
		if strings.Contains(got.body, token) {
			t.Errorf("%s: the page has the token", tt.name)
		}
	}
	if strings.Contains(w.log.String(), token) || strings.Contains(w.log.String(), token[1:]) {
		t.Errorf("the log has a token: %s", w.log)
	}
}

// TestCookieOverTLS: there it is one that only this host can have set.
func TestCookieOverTLS(t *testing.T) {
	w := newWorld(t, nil)
	r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(url.Values{"token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.TLS = &tls.ConnectionState{}
	got := httptest.NewRecorder()
	w.page.ServeHTTP(got, r)
	if c := got.Header().Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-dormant=") || !strings.Contains(c, "Secure") || !strings.Contains(c, "Path=/;") {
		t.Errorf("cookie %q", c)
	}
	if got.Header().Get("Strict-Transport-Security") == "" {
		t.Error("no word that TLS is wanted")
	}
}

// TestAttempts: wrong tokens are answered more and more slowly, also to who then
// gives the right one; another address does not suffer.
func TestAttempts(t *testing.T) {
	w := newWorld(t, nil)
	at := now()
	w.page.SetClock(func() time.Time { return at })
	try := func(from, given string, bearer bool) int {
		r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(url.Values{"token": {given}}.Encode()))
		if bearer {
			r = httptest.NewRequest(http.MethodGet, "/live.json", nil)
			r.Header.Set("Authorization", "Bearer "+given)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = from
		got := httptest.NewRecorder()
		w.page.ServeHTTP(got, r)
		return got.Code
	}
	for i := range 5 {
		if code := try("10.0.0.1:1000", "wrong", i%2 == 0); code != http.StatusUnauthorized {
			t.Fatalf("try %d: %d, want 401", i, code)
		}
	}
	for _, tt := range []struct {
		name, from, token string
		bearer            bool
		after             time.Duration
		want              int
	}{
		{name: "the sixth", from: "10.0.0.1:1001", token: "wrong", want: http.StatusTooManyRequests},
		{name: "the right one from there", from: "10.0.0.1:1002", token: token, want: http.StatusTooManyRequests},
		{name: "as a bearer", from: "10.0.0.1:1002", token: token, bearer: true, want: http.StatusTooManyRequests},
		{name: "another address", from: "10.0.0.2:1000", token: token, want: http.StatusSeeOther},
		{name: "later", from: "10.0.0.1:1003", token: token, after: 11 * time.Second, want: http.StatusSeeOther},
		{name: "later, as a bearer", from: "10.0.0.1:1003", token: token, bearer: true, want: http.StatusOK},
	} {
		at = at.Add(tt.after)
		if got := try(tt.from, tt.token, tt.bearer); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	at = at.Add(time.Hour)
	for i := range 5 { // a /64 is one person
		try("[2001:db8::"+string(rune('1'+i))+"]:9", "wrong", false)
	}
	if got := try("[2001:db8::ffff]:9", token, false); got != http.StatusTooManyRequests {
		t.Errorf("another address of the same /64: %d, want 429", got)
	}
	if got := try("[2001:db8:0:1::1]:9", token, false); got != http.StatusSeeOther {
		t.Errorf("another /64: %d, want 303", got)
	}
}

func TestSessionEnds(t *testing.T) {
	w := newWorld(t, nil)
	at := now()
	w.page.SetClock(func() time.Time { return at })
	in := func(c *http.Client) bool { return w.get(t, c, "/dead", nil).code == http.StatusOK }
	idle, busy, left := w.login(t), w.login(t), w.login(t)
	form := url.Values{"seal": {seal(t, w.get(t, left, "/", nil).body)}}
	if got := w.post(t, left, "/logout", form, nil); got.code != http.StatusSeeOther {
		t.Fatalf("logout: %d", got.code)
	}
	if in(left) {
		t.Error("logged out, and still in")
	}
	for h := range 24 * 8 {
		at = at.Add(time.Hour)
		if ok := in(busy); ok != (h < 24*7) {
			t.Fatalf("busy after %d h: in %t", h+1, ok)
		}
		if h == 13 && in(idle) {
			t.Error("idle for 14 h and still in")
		}
	}
	forged := client(t)
	u, err := url.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	forged.Jar.SetCookies(u, []*http.Cookie{{Name: "dormant", Value: strings.Repeat("A", 43)}})
	if in(forged) {
		t.Error("a forged cookie is in")
	}
}

func TestBearer(t *testing.T) {
	w := newWorld(t, nil)
	w.month(t)
	c := client(t)
	for _, tt := range []struct {
		name, method, path, value string
		code                      int
	}{
		{name: "reads", method: http.MethodGet, path: "/runs/" + id(9) + "/report/csv", value: "Bearer " + token, code: http.StatusOK},
		{name: "reads, the scheme in small letters", method: http.MethodGet, path: "/live.json", value: "bearer " + token, code: http.StatusOK},
		{name: "wrong", method: http.MethodGet, path: "/runs/" + id(9) + "/report/csv", value: "Bearer " + token + "x", code: http.StatusUnauthorized},
		{name: "another scheme", method: http.MethodGet, path: "/runs/" + id(9) + "/report/csv", value: "Basic " + token, code: http.StatusUnauthorized},
		{name: "may do nothing", method: http.MethodPost, path: "/jobs/by-hand/start", value: "Bearer " + token, code: http.StatusForbidden},
	} {
		got := w.do(t, c, tt.method, tt.path, "", http.Header{"Authorization": {tt.value}, "Accept": {"*/*"}})
		if got.code != tt.code {
			t.Errorf("%s: %d, want %d: %s", tt.name, got.code, tt.code, got.body)
		}
	}
	if len(w.fleet.started) > 0 {
		t.Error("a script started a job")
	}
}

// TestForeignForms: a form that another site makes the browser send does
// nothing, each guard for itself.
func TestForeignForms(t *testing.T) {
	w := newWorld(t, nil)
	c, other := w.login(t), w.login(t)
	good, foreign := seal(t, w.get(t, c, "/jobs", nil).body), seal(t, w.get(t, other, "/jobs", nil).body)
	const path = "/jobs/by-hand/start"
	for _, tt := range []struct {
		name   string
		form   url.Values
		header http.Header
		path   string
		code   int
	}{
		{name: "no seal", form: url.Values{}, code: http.StatusForbidden},
		{name: "a wrong seal", form: url.Values{"seal": {"x"}}, code: http.StatusForbidden},
		{name: "the seal of another session", form: url.Values{"seal": {foreign}}, code: http.StatusForbidden},
		{name: "a seal in the URL", path: path + "?seal=" + good, form: url.Values{}, code: http.StatusForbidden},
		{name: "as JSON", form: url.Values{"seal": {good}}, header: http.Header{"Content-Type": {"text/plain"}}, code: http.StatusForbidden},
		{name: "said to be another site", form: url.Values{"seal": {good}}, header: http.Header{"Sec-Fetch-Site": {"cross-site"}}, code: http.StatusForbidden},
		{name: "of a sister site", form: url.Values{"seal": {good}}, header: http.Header{"Sec-Fetch-Site": {"same-site"}}, code: http.StatusForbidden},
		{name: "of another origin", form: url.Values{"seal": {good}}, header: http.Header{"Origin": {"https://evil.example"}}, code: http.StatusForbidden},
		{name: "of another port", form: url.Values{"seal": {good}}, header: http.Header{"Origin": {"http://127.0.0.1:1"}}, code: http.StatusForbidden},
		{name: "login of another origin", path: "/login", form: url.Values{"token": {token}}, header: http.Header{"Origin": {"https://evil.example"}}, code: http.StatusForbidden},
		{name: "too large", form: url.Values{"x": {strings.Repeat("x", 1<<17)}, "seal": {good}}, code: http.StatusForbidden},
	} {
		p := path
		if tt.path != "" {
			p = tt.path
		}
		if got := w.post(t, c, p, tt.form, tt.header); got.code != tt.code {
			t.Errorf("%s: %d, want %d: %s", tt.name, got.code, tt.code, words(t, got.body))
		}
	}
	if len(w.fleet.started) > 0 {
		t.Fatal("a foreign form started a job")
	}
	if got := w.post(t, c, path, url.Values{"seal": {good}}, http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {w.URL}}); got.code != http.StatusSeeOther || len(w.fleet.started) != 1 {
		t.Errorf("our own form: %d, started %v", got.code, w.fleet.started)
	}
	if got := w.get(t, c, path, nil); got.code != http.StatusNotFound && got.code != http.StatusMethodNotAllowed || len(w.fleet.started) != 1 {
		t.Errorf("GET: %d, started %v", got.code, w.fleet.started)
	}
}

func TestProxy(t *testing.T) {
	const header = "X-Forwarded-User"
	for _, tt := range []struct {
		name, from, token string
		names             []string
		code              int
		as                string
	}{
		{name: "the proxy", from: "192.0.2.7:1", names: []string{"ada@example"}, code: http.StatusOK, as: "ada@example"},
		{name: "the proxy over IPv6 form", from: "[::ffff:192.0.2.7]:1", names: []string{"ada@example"}, code: http.StatusOK, as: "ada@example"},
		{name: "somebody else", from: "192.0.2.8:1", names: []string{"ada@example"}, code: http.StatusForbidden},
		{name: "somebody else, where there is a token", from: "192.0.2.8:1", token: token, names: []string{"ada@example"}, code: http.StatusSeeOther},
		{name: "no name", from: "192.0.2.7:1", code: http.StatusForbidden},
		{name: "an empty name", from: "192.0.2.7:1", names: []string{" "}, code: http.StatusForbidden},
		{name: "two names", from: "192.0.2.7:1", names: []string{"ada", "eve"}, code: http.StatusForbidden},
		{name: "a hostile name", from: "192.0.2.7:1", names: []string{"<script>alert(1)</script>"}, code: http.StatusOK, as: "&lt;script&gt;alert(1)&lt;/script&gt;"},
	} {
		w := newWorld(t, func(c *web.Config) {
			c.Token, c.ProxyHeader, c.ProxyFrom = tt.token, header, []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
		})
		r := httptest.NewRequest(http.MethodGet, "/dead", nil)
		r.Header.Set("Accept", "text/html")
		r.RemoteAddr = tt.from
		for _, n := range tt.names {
			r.Header.Add(header, n)
		}
		got := httptest.NewRecorder()
		w.page.ServeHTTP(got, r)
		if got.Code != tt.code || tt.as != "" && !strings.Contains(got.Body.String(), "as "+tt.as) || strings.Contains(got.Body.String(), "<script>") {
			t.Errorf("%s: %d, want %d as %q: %s", tt.name, got.Code, tt.code, tt.as, got.Body)
		}
	}
}
