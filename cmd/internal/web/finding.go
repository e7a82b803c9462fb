package web

import (
	"net/http"
	"slices"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

const (
	maxExchanges = 12
	maxSigns     = 20
	portHistory  = 30 // runs that are looked at
)

type findingPage struct {
	base
	Run         history.Run
	Row         row
	Finding     reports.Finding
	Words       reports.Explanation
	Hints       []string
	Settle      []string
	Flags       []string
	Signs       []fingerprint.Sign
	Talk        []exchange
	Dossier     *registry.Entry
	First, Last time.Time
	History     []sighting
}

// exchange is one question and its answer, as printable ASCII.
type exchange struct{ Probe, Sent, Received, End string }

// sighting is what a run says of the port.
type sighting struct {
	Run     history.Run
	Words   string
	Mark    string
	Path    string // "" where it was not open
	Current bool
}

// finding shows one open port: what was seen, what it means, what to do, and
// what it was before.
func (s *Server) finding(w http.ResponseWriter, r *http.Request) {
	target, ok := parseTarget(r.PathValue("addr"), r.PathValue("proto"), r.PathValue("port"))
	if !ok {
		s.fail(w, r, http.StatusNotFound, "That is no address and port.")
		return
	}
	run, ok := s.findRun(w, r, r.PathValue("run"))
	if !ok {
		return
	}
	f, ok, err := s.config.Store.Finding(r.Context(), run, target)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	if !ok {
		s.fail(w, r, http.StatusNotFound, target.String()+" is not among the open ports of the run "+run.ID+".")
		return
	}
	p := &findingPage{base: s.base(r, target.String()), Run: run, Row: rowOf(&f), Finding: f, Words: reports.Explain(&f), Flags: lines(f.Flags)}
	if f.Full != nil {
		p.Hints, p.Settle = lines(f.Full.Hints), lines(f.Full.Settle)
		p.Signs = cleanSigns(f.Full.Signs)
	}
	if f.Dialogue != nil {
		p.Talk = talk(f.Dialogue)
	}
	if e, ok := s.config.Registry.Lookup(target.Port); ok {
		p.Dossier = &e
	}
	if p.First, p.Last, err = s.config.Store.Seen(r.Context(), run, target); err == nil {
		p.History, err = s.before(r, run, target)
	}
	if err != nil {
		s.broken(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "finding.html", p)
}

// before tells what the runs from the same place say of the port, the newest
// first. Runs that did not ask it are left out.
func (s *Server) before(r *http.Request, run history.Run, t scanner.Target) ([]sighting, error) {
	looks, err := s.config.Store.History(r.Context(), history.RunFilter{
		Sites: []string{run.Site}, Vantages: []string{run.Vantage}, Limit: portHistory,
	}, t)
	if err != nil {
		return nil, err
	}
	var all []sighting
	for _, look := range looks {
		one := sighting{Run: look.Run, Current: look.Run.ID == run.ID, Mark: "other"}
		switch {
		case look.Finding != nil:
			one.Words, one.Mark, one.Path = answered(look.Finding), reports.Mark(look.Finding), pathOf(look.Run.ID, t)
		case look.Asked:
			one.Words = "not open"
		case look.Run.Plan().Contains(t):
			one.Words = "not known: the run did not measure everything"
		default:
			continue
		}
		all = append(all, one)
	}
	return all, nil
}

func lines(list []string) []string {
	clean := make([]string, 0, len(list))
	for _, s := range list {
		clean = append(clean, reports.Line(s))
	}
	return clean
}

func cleanSigns(signs []fingerprint.Sign) []fingerprint.Sign {
	clean := slices.Clone(signs[:min(len(signs), maxSigns)])
	for i := range clean {
		s := &clean[i]
		s.Rule, s.Probe, s.Excerpt = reports.Line(s.Rule), reports.Line(s.Probe), reports.Line(s.Excerpt)
		s.Source, s.Lost, s.Kind = reports.Line(s.Source), reports.Line(s.Lost), fingerprint.Kind(reports.Line(string(s.Kind)))
	}
	return clean
}

func talk(ev *fingerprint.Evidence) []exchange {
	var all []exchange
	for i := range ev.Exchanges[:min(len(ev.Exchanges), maxExchanges)] {
		x := &ev.Exchanges[i]
		probe := x.Probe
		if x.Inside {
			probe += " inside TLS"
		}
		all = append(all, exchange{
			Probe: reports.Line(probe), Sent: reports.Line(string(x.Sent)), Received: reports.Line(string(x.Received)), End: reports.Line(string(x.End)),
		})
	}
	return all
}
