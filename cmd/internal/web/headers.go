package web

import (
	"net/http"
	"strings"
)

// contentPolicy allows what this server itself serves, and no script or style
// within a page: a banner that became HTML in spite of everything still could
// not act.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// harden sets what every answer says to the browser, and bounds every request.
func harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store") // what a scan found stays out of caches
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// sameSite refuses a POST that another site made the browser send: by what the
// browser says of itself, and by a secret of the form that only our page has.
// The login form has no person yet and rests on the first alone.
func (s *Server) sameSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.cross.Check(r); err != nil {
			s.config.Log.Warn("a form from another site was refused", "from", remote(r).String(), "path", r.URL.Path)
			s.fail(w, r, http.StatusForbidden, "The form was sent from another site.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sealed refuses a form without its secret.
func (s *Server) sealed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") ||
			!s.seal.is(who(r.Context()).secret, r.PostFormValue("seal")) {
			s.fail(w, r, http.StatusForbidden, "The form is out of date. Go back, load the page again, and send it once more.")
			return
		}
		next(w, r)
	}
}
