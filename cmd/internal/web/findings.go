package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports/history"
)

const (
	listed  = 100 // findings on a page
	maxText = 100 // bytes of a text that is searched for
)

// filter is what the form above the list says, as it was typed.
type filter struct {
	Run, Site, Vantage, Verdict, Severity, Port, Address, Text, Expected, After string
}

// filterOf reads the URL.
func filterOf(q url.Values) filter {
	get := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	return filter{
		Run: get("run"), Site: get("site"), Vantage: get("vantage"), Verdict: get("verdict"), Severity: get("severity"), Port: get("port"),
		Address: get("address"), Text: get("text"), Expected: get("expected"), After: get("after"),
	}
}

// query returns the URL of the list from another place on.
func (f filter) query(after string) string {
	q := url.Values{}
	for name, value := range map[string]string{
		"run": f.Run, "site": f.Site, "vantage": f.Vantage, "verdict": f.Verdict, "severity": f.Severity, "port": f.Port,
		"address": f.Address, "text": f.Text, "expected": f.Expected, "after": after,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return "?" + q.Encode()
}

// parse turns what was typed into a query, or says what is wrong with it.
func (f filter) parse() (history.Query, error) {
	q := history.Query{Limit: listed, After: history.Cursor(f.After), Text: f.Text}
	var err error
	if f.Verdict != "" {
		var class fingerprint.Class
		if class, err = fingerprint.ParseClass(f.Verdict); err != nil {
			return q, errors.New("There is no verdict " + strconv.Quote(f.Verdict) + ".")
		}
		q.Verdicts = []fingerprint.Class{class}
	}
	if f.Severity != "" {
		if !slices.Contains(severities(), f.Severity) {
			return q, errors.New("There is no severity " + strconv.Quote(f.Severity) + ": want " + strings.Join(severities(), ", ") + ".")
		}
		q.Severities = []string{f.Severity}
	}
	if f.Expected != "" {
		if !slices.Contains([]string{"yes", "no", "unknown"}, f.Expected) {
			return q, errors.New("Expected is yes, no or unknown, and not " + strconv.Quote(f.Expected) + ".")
		}
		q.Expected = []string{f.Expected}
	}
	if len(f.Text) > maxText {
		return q, errors.New("The text is longer than " + strconv.Itoa(maxText) + " bytes.")
	}
	if q.Prefix, err = parseWithin(f.Address); err != nil {
		return q, err
	}
	q.Ports, err = parsePorts(f.Port)
	return q, err
}

// parseWithin reads an address or a subnet, "" for all.
func parseWithin(s string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, errors.New(strconv.Quote(s) + " is no address and no subnet: want 10.1.4.9 or 10.1.4.0/24.")
	}
	return p.Masked(), nil
}

// parsePorts reads 1947, which is both transports, or 1947/udp; "" for all.
func parsePorts(s string) ([]registry.Port, error) {
	if s == "" {
		return nil, nil
	}
	if p, err := registry.ParsePort(s); err == nil {
		return []registry.Port{p}, nil
	}
	n, err := registry.ParseNumber(s)
	if err != nil {
		return nil, errors.New(strconv.Quote(s) + " is no port: want 1947 or 1947/udp.")
	}
	return []registry.Port{{Number: n, Proto: registry.TCP}, {Number: n, Proto: registry.UDP}}, nil
}

func severities() []string { return []string{"high", "medium", "low", "info"} }

// verdicts are the words of the filter, in the order of their gravity.
func verdicts() []string {
	all := []string{}
	for _, c := range byGravity() {
		all = append(all, c.String())
	}
	return all
}

// byGravity returns the classes, the gravest first.
func byGravity() []fingerprint.Class {
	return []fingerprint.Class{
		fingerprint.PossibleC2, fingerprint.OpenShell, fingerprint.TunnelOrProxy, fingerprint.DevServer, fingerprint.LicenseManager,
		fingerprint.KnownService, fingerprint.Unidentified, fingerprint.Middlebox, fingerprint.Tarpit,
	}
}

type findingsPage struct {
	base
	Filter               filter
	Wrong                string
	Rows                 []row
	First, Next          string
	Runs                 []history.Run // that are looked at
	Sites, Vantages      []string
	Verdicts, Severities []string
	Scope                string
	Breaches             bool
}

// findings lists open ports: of one run, or of all that are current.
func (s *Server) findings(w http.ResponseWriter, r *http.Request) {
	s.list(w, r, &findingsPage{base: s.base(r, "Findings"), Filter: filterOf(r.URL.Query())})
}

// breaches lists what the policy forbids.
func (s *Server) breaches(w http.ResponseWriter, r *http.Request) {
	p := &findingsPage{base: s.base(r, "Policy breaches"), Filter: filterOf(r.URL.Query()), Breaches: true}
	p.Filter.Expected = "no"
	s.list(w, r, p)
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, p *findingsPage) {
	p.Verdicts, p.Severities = verdicts(), severities()
	var err error
	if p.Sites, p.Vantages, err = s.whereRuns(r.Context()); err != nil {
		s.broken(w, r, err)
		return
	}
	q, wrong := p.Filter.parse()
	if wrong != nil {
		p.Wrong = wrong.Error()
		s.render(w, r, http.StatusBadRequest, "findings.html", p)
		return
	}
	if p.Filter.Run != "" {
		run, ok := s.findRun(w, r, p.Filter.Run)
		if !ok {
			return
		}
		q.Runs = []history.Run{run}
		p.Scope = "in the run " + run.ID + ", " + place(run.Site, run.Vantage) + ", " + moment(run.Started)
	} else {
		if q.Runs, err = s.current(r.Context(), p.Filter.Site, p.Filter.Vantage); err != nil {
			s.broken(w, r, err)
			return
		}
		p.Scope = "in " + plural(len(q.Runs), "run") + ": the newest of each place and job"
		if shared(q.Runs) {
			p.Scope += ". A port that several jobs found from the same place is listed once, as the newest of them found it"
		}
	}
	p.Runs = q.Runs
	if len(q.Runs) > 0 {
		found, err := s.config.Store.SearchOnce(r.Context(), q)
		if errors.Is(err, history.ErrCursor) {
			p.Wrong = "The list cannot be read from there: begin at its first page."
			s.render(w, r, http.StatusBadRequest, "findings.html", p)
			return
		}
		if err != nil {
			s.broken(w, r, err)
			return
		}
		p.Rows = rowsOf(&found, q.Runs)
		if found.Next != "" {
			p.Next = p.Filter.query(string(found.Next))
		}
	}
	if p.Filter.After != "" {
		p.First = p.Filter.query("")
	}
	s.render(w, r, http.StatusOK, "findings.html", p)
}

// findRun returns the run that a path or a filter names; if there is none it
// has answered, and ok is false.
func (s *Server) findRun(w http.ResponseWriter, r *http.Request, id string) (run history.Run, ok bool) {
	run, ok, err := s.lookUp(r.Context(), id)
	switch {
	case err != nil:
		s.broken(w, r, err)
		return run, false
	case !ok:
		s.fail(w, r, http.StatusNotFound, "There is no run of that name in the history.")
	}
	return run, ok
}

// lookUp returns the run with exactly that id.
func (s *Server) lookUp(ctx context.Context, id string) (history.Run, bool, error) {
	if !regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`).MatchString(id) {
		return history.Run{}, false, nil
	}
	run, err := s.config.Store.Find(ctx, id)
	switch {
	case errors.Is(err, history.ErrNoRun), errors.Is(err, history.ErrAmbiguous), err == nil && run.ID != id:
		return history.Run{}, false, nil
	case err != nil:
		return history.Run{}, false, err
	}
	return run, true, nil
}

// broken answers when the store could not: the log says why, the page does not,
// for it may name files and servers.
func (s *Server) broken(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case r.Context().Err() == nil:
		s.config.Log.Error("the history could not be read for the web page", "path", r.URL.Path, "err", err)
		s.fail(w, r, http.StatusServiceUnavailable, "The history cannot be read at the moment. The server's log says why.")
	case errors.Is(r.Context().Err(), context.DeadlineExceeded):
		s.fail(w, r, http.StatusServiceUnavailable, "That took too long. Ask for less: a site, an address, a port.")
	}
}
