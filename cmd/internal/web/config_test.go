package web_test

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dormant/cmd/internal/web"
)

// TestPublic comes through a proxy that speaks TLS and changes Host: the cookie is
// Secure if the server was told, and not because a request says so.
func TestPublic(t *testing.T) {
	for _, tt := range []struct {
		name, public, origin string
		secure               bool
		code                 int
	}{
		{name: "told", public: "https://Audit.example:443", origin: "https://audit.example", secure: true, code: http.StatusSeeOther},
		{name: "told, from elsewhere", public: "https://audit.example", origin: "https://evil.example", code: http.StatusForbidden},
		{name: "not told", origin: "https://audit.example", code: http.StatusForbidden},
		{name: "not told, without an origin", code: http.StatusSeeOther},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(c *web.Config) { c.Public = tt.public })
			header := http.Header{"X-Forwarded-Proto": {"https"}, "Forwarded": {"proto=https"}}
			if tt.origin != "" {
				header.Set("Origin", tt.origin)
			}
			got := w.post(t, client(t), "/login", url.Values{"token": {token}}, header)
			if got.code != tt.code {
				t.Fatalf("login: %d, want %d: %s", got.code, tt.code, got.body)
			}
			if tt.code != http.StatusSeeOther {
				return
			}
			set := got.header.Get("Set-Cookie")
			if strings.HasPrefix(set, "__Host-dormant=") != tt.secure || strings.Contains(set, "; Secure") != tt.secure {
				t.Errorf("the cookie is %q, want it Secure: %t", set, tt.secure)
			}
			value, _, _ := strings.Cut(set, ";")
			in := http.Header{"Cookie": {value}}
			page := w.get(t, client(t), "/", in)
			if page.code != http.StatusOK {
				t.Fatalf("the session does not hold: %d", page.code)
			}
			in.Set("Origin", tt.origin)
			out := w.post(t, client(t), "/logout", url.Values{"seal": {seal(t, page.body)}}, in)
			if gone := out.header.Get("Set-Cookie"); out.code != http.StatusSeeOther || strings.Contains(gone, "; Secure") != tt.secure {
				t.Errorf("logout: %d, %q", out.code, gone)
			}
			if again := w.get(t, client(t), "/", http.Header{"Cookie": {value}}); again.code != http.StatusSeeOther {
				t.Errorf("the session goes on after it was left: %d", again.code)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	proxy := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	for _, tt := range []struct {
		name   string
		change func(*web.Config)
		want   string // "" is a configuration that works
	}{
		{name: "loopback", change: func(c *web.Config) { c.Listen = "127.0.0.1:8470" }},
		{name: "all of 127", change: func(c *web.Config) { c.Listen = "127.9.9.9:8470" }},
		{name: "IPv6", change: func(c *web.Config) { c.Listen = "[::1]:8470" }},
		{name: "localhost", change: func(c *web.Config) { c.Listen = "localhost:0" }},
		{name: "with TLS", change: func(c *web.Config) { c.Listen, c.TLS = "0.0.0.0:8470", &tls.Config{} }},
		{name: "proxy", change: func(c *web.Config) { c.Token, c.ProxyHeader, c.ProxyFrom = "", "X-Forwarded-User", proxy }},
		{name: "everywhere", change: func(c *web.Config) { c.Listen = ":8470" }, want: "has no TLS"},
		{name: "another machine", change: func(c *web.Config) { c.Listen = "10.0.0.1:8470" }, want: "has no TLS"},
		{name: "a name", change: func(c *web.Config) { c.Listen = "audit.example:8470" }, want: "has no TLS"},
		{name: "nobody asked", change: func(c *web.Config) { c.Token = "" }, want: "without authentication"},
		{name: "nobody asked, TLS", change: func(c *web.Config) { c.Token, c.Listen, c.TLS = "", "0.0.0.0:1", &tls.Config{} }, want: "without authentication"},
		{name: "a word", change: func(c *web.Config) { c.Token = "hunter2" }, want: "7 bytes, want at least 20"},
		{name: "a blank", change: func(c *web.Config) { c.Token = "correct horse battery staple" }, want: "blank"},
		{name: "no port", change: func(c *web.Config) { c.Listen = "127.0.0.1" }, want: "want ADDRESS:PORT"},
		{name: "proxy from nowhere", change: func(c *web.Config) { c.ProxyHeader = "X-User" }, want: "--web-proxy-from"},
		{name: "from without a header", change: func(c *web.Config) { c.ProxyFrom = proxy }, want: "--web-proxy-header is missing"},
		{name: "no header's name", change: func(c *web.Config) { c.ProxyHeader, c.ProxyFrom = "X User", proxy }, want: "no name of a header"},
		{name: "a header of every browser", change: func(c *web.Config) { c.ProxyHeader, c.ProxyFrom = "user-agent", proxy }, want: "no name of a header"},
		{name: "an address of the proxy", change: func(c *web.Config) { c.Public = "https://Audit.example.net:8443" }},
		{name: "a public address by IPv6", change: func(c *web.Config) { c.Public = "https://[2001:db8::1]" }},
		{name: "a public address without TLS", change: func(c *web.Config) { c.Public = "http://audit.example.net" }, want: "want https://"},
		{name: "a public address with a path", change: func(c *web.Config) { c.Public = "https://audit.example.net/" }, want: "with nothing behind it"},
		{name: "a public address with a name in it", change: func(c *web.Config) { c.Public = "https://ada@audit.example.net" }, want: "with nothing behind it"},
		{name: "no public address", change: func(c *web.Config) { c.Public = "audit.example.net" }, want: `--web-url "audit.example.net"`},
		{name: "no port of a public address", change: func(c *web.Config) { c.Public = "https://audit.example.net:" }, want: "with nothing behind it"},
		{name: "no store", change: func(c *web.Config) { c.Store = nil }, want: "are required"},
	} {
		w := newWorld(t, nil)
		c := w.config
		tt.change(&c)
		_, err := web.New(c)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.token")
	first, made, err := web.TokenFile(path)
	if err != nil || !made || len(first) < web.MinToken {
		t.Fatalf("TokenFile = %d bytes, %t, %v", len(first), made, err)
	}
	again, made, err := web.TokenFile(path)
	if err != nil || made || again != first {
		t.Errorf("again: the same %t, made %t, %v", again == first, made, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".token-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := web.TokenFile(path); err == nil || !strings.Contains(err.Error(), "read by others") {
		t.Errorf("a file for all: %v", err)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := web.TokenFile(short); err == nil || strings.Contains(err.Error(), "abc") {
		t.Errorf("a short one: %v", err)
	}
	if _, _, err := web.TokenFile(filepath.Join(short, "x")); err == nil {
		t.Error("below a file: no error")
	}
}

func TestLocal(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/runs?x=1": "/runs?x=1", "": "/", "//x": "/", "https://x/": "/", `/\x`: "/", "/a\nb": "/", "runs": "/", "/login": "/", "/login?next=/": "/",
	} {
		if got := web.Local(in); got != want {
			t.Errorf("local(%q) = %q, want %q", in, got, want)
		}
	}
}
