package web

import (
	"context"
	"net/http"
)

// routes is everything that is answered. A path that is not here is 404, another
// method 405 with those that are allowed.
func (s *Server) routes() http.Handler {
	inside := http.NewServeMux() // for those with a name
	get := func(path string, h http.HandlerFunc) { inside.Handle("GET "+path, timed(h)) }
	post := func(path string, h http.HandlerFunc) { inside.Handle("POST "+path, timed(s.sealed(h))) }
	get("/{$}", s.overview)
	get("/sites", s.sites)
	get("/jobs", s.jobs)
	get("/runs", s.runs)
	get("/runs/{run}", s.run)
	get("/runs/{run}/{addr}/{proto}/{port}", s.finding)
	get("/findings", s.findings)
	get("/breaches", s.breaches)
	get("/changes", s.changes)
	get("/trends", s.trends)
	get("/dead", s.dead)
	get("/live.json", s.live)
	inside.HandleFunc("GET /runs/{run}/report/{format}", s.download) // takes as long as it takes
	post("/jobs/{job}/start", s.start)
	post("/agents/{agent}/revoke", s.revoke)
	post("/logout", s.leave)
	inside.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, http.StatusNotFound, "There is no such page.")
	})

	outside := http.NewServeMux() // for everybody
	outside.HandleFunc("GET /static/", s.static)
	outside.HandleFunc("GET /login", s.login)
	outside.HandleFunc("POST /login", s.enter)
	outside.Handle("/", s.guard(inside))
	return harden(s.sameSite(outside))
}

// timed bounds what a page may ask of the store.
func timed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pageTime-pageTime/10)
		defer cancel()
		next(w, r.WithContext(ctx))
	}
}
