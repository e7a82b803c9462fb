package web

import (
	"net/http"

	"dormant/cmd/internal/fleet"
)

type sitesPage struct {
	base
	Sites []site
}

func (s *Server) sites(w http.ResponseWriter, r *http.Request) {
	st := s.config.Fleet.Status()
	s.render(w, r, http.StatusOK, "sites.html", &sitesPage{base: s.base(r, "Sites and agents"), Sites: sitesOf(&st)})
}

// revoke takes an agent's credential away.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	agent := r.PathValue("agent")
	if err := fleet.CheckName("agent", agent); err != nil {
		s.fail(w, r, http.StatusNotFound, "There is no such agent.")
		return
	}
	if err := s.config.Fleet.Revoke(r.Context(), agent); err != nil {
		s.fail(w, r, http.StatusConflict, "The agent "+agent+" was not revoked: "+err.Error())
		return
	}
	s.config.Log.Info("agent revoked from the web page", "agent", agent, "by", who(r.Context()).Name, "from", remote(r).String())
	http.Redirect(w, r, "/sites", http.StatusSeeOther)
}

type jobsPage struct {
	base
	Jobs []fleet.JobStatus
}

func (s *Server) jobs(w http.ResponseWriter, r *http.Request) {
	st := s.config.Fleet.Status()
	s.render(w, r, http.StatusOK, "jobs.html", &jobsPage{base: s.base(r, "Jobs"), Jobs: st.Jobs})
}

// start begins a run of a job.
func (s *Server) start(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("job")
	st := s.config.Fleet.Status()
	for _, j := range st.Jobs {
		if j.Name != name {
			continue
		}
		if err := s.config.Fleet.Start(r.Context(), name); err != nil {
			s.fail(w, r, http.StatusConflict, "The job "+name+" was not started: "+err.Error())
			return
		}
		s.config.Log.Info("job started from the web page", "job", name, "by", who(r.Context()).Name, "from", remote(r).String())
		http.Redirect(w, r, "/runs", http.StatusSeeOther)
		return
	}
	s.fail(w, r, http.StatusNotFound, "There is no such job in the server's configuration.")
}

type deadPage struct {
	base
	Dead []fleet.DeadShard
}

func (s *Server) dead(w http.ResponseWriter, r *http.Request) {
	st := s.config.Fleet.Status()
	s.render(w, r, http.StatusOK, "dead.html", &deadPage{base: s.base(r, "Dead shards"), Dead: st.Dead})
}
