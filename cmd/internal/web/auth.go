package web

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"dormant/reports"
)

// person is who asks. The zero value is nobody.
type person struct {
	// Name is what the log and the page call them.
	Name string
	// secret is what the seal of their forms is made of.
	secret string
	// script is true for one that came with a bearer: it may read only.
	script bool
	// session is the cookie's value, "" without one.
	session string
}

type personKey struct{}

// who returns the person that the guard let in.
func who(ctx context.Context) person {
	p, _ := ctx.Value(personKey{}).(person)
	return p
}

// cookie is the name of the session's cookie. The prefix makes a browser refuse
// one that was set by another host or without TLS (RFC 6265bis section 4.1.3);
// on plain loopback it cannot be had.
func cookieName(secure bool) string {
	if secure {
		return "__Host-dormant"
	}
	return "dormant"
}

// guard lets through who has a name, and shows the form to everybody else.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, status := s.identify(r)
		switch {
		case status == http.StatusTooManyRequests:
			w.Header().Set("Retry-After", "10")
			s.fail(w, r, status, "Too many wrong tokens came from your address. Wait a minute.")
		case p.Name == "" && status != 0:
			s.fail(w, r, status, "The token is wrong.")
		case p.Name == "" && s.config.Token == "":
			s.fail(w, r, http.StatusForbidden, "This page is reached through the proxy that asks for your name.")
		case p.Name == "" && (r.Method != http.MethodGet || !strings.Contains(r.Header.Get("Accept"), "text/html")):
			w.Header().Set("WWW-Authenticate", `Bearer realm="dormant"`)
			s.fail(w, r, http.StatusUnauthorized, "Log in first, or send the token as Authorization: Bearer.")
		case p.Name == "":
			http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		case p.script && r.Method != http.MethodGet && r.Method != http.MethodHead:
			s.fail(w, r, http.StatusForbidden, "A script may read and nothing else.")
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), personKey{}, p)))
		}
	})
}

// identify finds out who asks. A status other than 0 says what was wrong with
// what they gave.
func (s *Server) identify(r *http.Request) (person, int) {
	from := remote(r)
	if name, ok := s.proxied(r, from); ok {
		return person{Name: name, secret: "proxy " + name}, 0
	}
	if s.config.Token == "" {
		return person{}, 0
	}
	if scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		right := same(given, s.config.Token)
		switch {
		case !s.attempts.judge(from, right, s.now()):
			return person{}, http.StatusTooManyRequests
		case !right:
			s.config.Log.Warn("wrong token on the web page", "from", from.String())
			return person{}, http.StatusUnauthorized
		}
		return person{Name: "script", secret: "script", script: true}, 0
	}
	if c, err := r.Cookie(cookieName(s.secure(r))); err == nil && s.sessions.use(c.Value, s.now()) {
		return person{Name: "token", secret: "session " + c.Value, session: c.Value}, 0
	}
	return person{}, 0
}

// proxied returns the name that a proxy gives, if it is one that is believed. A
// header that comes twice is nobody's: one of them may be the client's own.
func (s *Server) proxied(r *http.Request, from netip.Addr) (string, bool) {
	if s.config.ProxyHeader == "" {
		return "", false
	}
	given := r.Header.Values(s.config.ProxyHeader)
	if len(given) == 0 {
		return "", false
	}
	if !slices.ContainsFunc(s.config.ProxyFrom, func(p netip.Prefix) bool { return p.Contains(from) }) {
		s.config.Log.Warn("a name in the proxy's header from an address that is no proxy", "from", from.String())
		return "", false
	}
	name := strings.TrimSpace(given[0])
	if len(given) > 1 || name == "" {
		return "", false
	}
	return reports.Line(name), true
}

// remote is the address at the other end of the connection.
func remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// secure reports whether the browser came over TLS: to this process, or by its
// configuration to the proxy in front.
func (s *Server) secure(r *http.Request) bool { return r.TLS != nil || s.config.Public != "" }

// loginForm is the page for who has no name yet.
type loginForm struct {
	base
	Next, Wrong string
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if s.config.Token == "" {
		s.fail(w, r, http.StatusNotFound, "There is no token here: the proxy asks for your name.")
		return
	}
	s.render(w, r, http.StatusOK, "login.html", &loginForm{base: s.base(r, "Log in"), Next: local(r.FormValue("next"))})
}

// enter is the form with the token.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) {
	if s.config.Token == "" {
		s.fail(w, r, http.StatusNotFound, "There is no token here: the proxy asks for your name.")
		return
	}
	from, right := remote(r), same(r.PostFormValue("token"), s.config.Token)
	form := &loginForm{base: s.base(r, "Log in"), Next: local(r.PostFormValue("next"))}
	switch {
	case !s.attempts.judge(from, right, s.now()):
		w.Header().Set("Retry-After", "10")
		form.Wrong = "Too many wrong tokens came from your address. Wait a minute."
		s.render(w, r, http.StatusTooManyRequests, "login.html", form)
		return
	case !right:
		s.config.Log.Warn("wrong token on the web page", "from", from.String())
		form.Wrong = "That is not the token."
		s.render(w, r, http.StatusUnauthorized, "login.html", form)
		return
	}
	s.config.Log.Info("logged in on the web page", "from", from.String())
	http.SetCookie(w, s.cookie(r, s.sessions.begin(s.now()), int(sessionLife/time.Second)))
	http.Redirect(w, r, form.Next, http.StatusSeeOther)
}

// leave ends the session.
func (s *Server) leave(w http.ResponseWriter, r *http.Request) {
	if p := who(r.Context()); p.session != "" {
		s.sessions.end(p.session)
	}
	http.SetCookie(w, s.cookie(r, "", -1))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func (s *Server) cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName(s.secure(r)), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: s.secure(r), SameSite: http.SameSiteStrictMode,
	}
}

// local keeps a way back within this server: a path of ours, never another host.
func local(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.HasPrefix(next, "/login") ||
		strings.ContainsFunc(next, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }) {
		return "/"
	}
	return next
}
