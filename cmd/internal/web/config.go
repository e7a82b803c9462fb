package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"dormant/cmd/internal/fleet"
	"dormant/registry"
)

// MinToken is the fewest bytes that a token may have: what TokenFile makes has
// 43, and a word that somebody thought of is guessed.
const MinToken = 20

// Config says what the page shows and who may see it. Fleet, Store, Registry
// and a token or a proxy are required.
type Config struct {
	// Listen is the address for Run, host:port. A name is looked up by Run; only
	// localhost and addresses of loopback count as such. Empty for a Server that is
	// only used as a handler.
	Listen string
	// Ready is called by Run with the address that it listens on, before the first
	// connection is accepted. It may be nil.
	Ready func(net.Addr)
	Fleet Fleet
	Store Store
	// Registry has the dossiers of the ports.
	Registry *registry.Registry
	// Token lets in who knows it; at least MinToken bytes. Empty: only the proxy
	// lets in.
	Token string
	// ProxyHeader names the header in which a proxy says who asks, such as
	// X-Forwarded-User. It is believed from ProxyFrom only. Empty: from nobody.
	ProxyHeader string
	ProxyFrom   []netip.Prefix
	// Public is the address that people type, https://HOST or https://HOST:PORT,
	// where a proxy in front speaks TLS and Listen is plain. Only a server that was
	// told so marks its cookies Secure there: what a request says of its way here,
	// anybody can write into it. Empty: people come to Listen itself.
	Public string
	// TLS is how Run serves, nil for plain HTTP, which is for loopback alone.
	TLS *tls.Config
	// Version is that of the program.
	Version string
	// Log is told who came in, who did not, and what was done. Required.
	Log *slog.Logger
}

// Fleet is the running server.
type Fleet interface {
	Status() fleet.Status
	// Start begins a run of the job now. What keeps it from it comes back in words
	// for the person who asked.
	Start(ctx context.Context, job string) error
	// Revoke takes an agent's credential away, also of a live connection.
	Revoke(ctx context.Context, agent string) error
}

// check returns what is wrong in one line that says how to mend it.
func (c *Config) check() error {
	switch {
	case c.Fleet == nil || c.Store == nil || c.Registry == nil || c.Log == nil:
		return errors.New("web: a Fleet, a Store, a Registry and a Log are required")
	case c.Token == "" && c.ProxyHeader == "":
		return errors.New("web: a page without authentication is not served: give a token or the header of a proxy (--web-proxy-header)")
	case c.Token != "" && len(c.Token) < MinToken:
		return fmt.Errorf("web: the token has %d bytes, want at least %d", len(c.Token), MinToken)
	case strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("web: the token has a blank or a character that is not ASCII, which no header can carry")
	case c.ProxyHeader != "" && !isHeaderName(c.ProxyHeader):
		return fmt.Errorf("web: --web-proxy-header %q is no name of a header", c.ProxyHeader)
	case c.ProxyHeader != "" && len(c.ProxyFrom) == 0:
		return fmt.Errorf("web: --web-proxy-header %s is believed from nobody: name the proxy's address with --web-proxy-from", c.ProxyHeader)
	case c.ProxyHeader == "" && len(c.ProxyFrom) > 0:
		return errors.New("web: --web-proxy-from says who is believed, and --web-proxy-header is missing: in which header")
	}
	if c.Public != "" {
		if err := CheckPublic(c.Public); err != nil {
			return err
		}
	}
	if c.Listen == "" {
		return nil
	}
	return CheckListen(c.Listen, c.TLS != nil)
}

// CheckListen returns why a page is not served at an address, host:port, secure
// with TLS: it can be asked before anything else is begun.
func CheckListen(address string, secure bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("web: --web %q: want ADDRESS:PORT such as 127.0.0.1:8470: %w", address, err)
	}
	if !secure && !isLoopback(host) {
		return fmt.Errorf("web: --web %s can be reached from other machines and has no TLS: give a certificate (--web-tls-cert, --web-tls-key), or listen on 127.0.0.1 behind a proxy", address)
	}
	return nil
}

// CheckPublic returns why an address cannot be Config.Public. The pages name each
// other from the root on, so a path is refused, too.
func CheckPublic(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || address != u.Scheme+"://"+u.Host || strings.HasSuffix(u.Host, ":") {
		return fmt.Errorf("web: --web-url %q: want https:// and the host where the proxy serves the page, with nothing behind it, such as https://audit.example.net", address)
	}
	return nil
}

// ownOrigin knows a form of ours from one of another site also where a proxy
// changed the Host that a browser's Origin is held against.
func ownOrigin(public string) (*http.CrossOriginProtection, error) {
	cross := http.NewCrossOriginProtection()
	if public == "" {
		return cross, nil
	}
	origin := strings.TrimSuffix(strings.ToLower(public), ":443") // as a browser writes it: RFC 6454 section 6.2
	if err := cross.AddTrustedOrigin(origin); err != nil {
		return nil, fmt.Errorf("web: --web-url: %w", err)
	}
	return cross, nil
}

// isLoopback reports whether only this machine can reach the host. Every address
// is meant by an empty one.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// isHeaderName reports whether a header can have the name and says who asks:
// one that a client sends anyway would let anybody in.
func isHeaderName(name string) bool {
	for _, r := range name {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_') {
			return false
		}
	}
	switch http.CanonicalHeaderKey(name) {
	case "Authorization", "Cookie", "Host", "Origin", "Referer", "User-Agent", "Accept", "Connection":
		return false
	}
	return name != ""
}
