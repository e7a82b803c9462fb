package web

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

// row is an open port in a list. Every text is printable ASCII already: what a
// peer said cannot even be odd.
type row struct {
	Path             string // of its page
	Place            string
	Jobs             []string // whose newest run found it, the newest first; none for a scan by hand
	IP, Host, Port   string
	Verdict, Mark    string
	Need             string // why a person should look, "" if nobody need
	Why              string // the same, "" where the verdict says it already
	Confidence       int
	Product, Version string
	Evidence, Owner  string
	Title, Severity  string
	Expected         string
	at               string // names the port, whichever run found it
	class            fingerprint.Class
	breach, shown    bool
}

func rowOf(f *reports.Finding) row {
	need, attention := reports.Attention(f)
	r := row{
		Path: pathOf(f.ScanID, targetOf(f)), Place: place(f.Site, f.Vantage),
		IP: f.IP.String(), Host: reports.Line(f.Hostname), Port: targetOf(f).Port.String(),
		Verdict: words(f.Verdict.String()), Mark: reports.Mark(f), Need: need, Confidence: f.Confidence,
		Product: reports.Name(f), Version: reports.Line(f.Version), Evidence: reports.Line(f.Evidence), Owner: reports.Line(f.Owner),
		Title: reports.Explain(f).Title, Severity: reports.Line(f.Severity), Expected: reports.Line(f.Expected),
		at: place(f.Site, f.Vantage) + " " + targetOf(f).String(), class: f.Verdict, breach: f.Expected == "no", shown: attention,
	}
	if r.Why = need; strings.EqualFold(need, r.Verdict) {
		r.Why = ""
	}
	if r.Verdict == "" {
		r.Verdict = "not identified"
	}
	return r
}

// rowsOf are the rows of a page of a list. Each names the jobs of the runs that
// found the port, and is against the policy if it is against that of one of them.
func rowsOf(p *history.Page, runs []history.Run) []row {
	jobs := map[string]string{}
	for i := range runs {
		jobs[runs[i].ID] = reports.Line(runs[i].Job)
	}
	all := make([]row, len(p.Findings))
	for i := range p.Findings {
		f, names := p.Findings[i], []string(nil)
		for _, by := range p.Seen[i] {
			if f.Expected == "" || by.Expected == "no" {
				f.Expected = by.Expected
			}
			if job := jobs[by.Run]; job != "" && !slices.Contains(names, job) {
				names = append(names, job)
			}
		}
		all[i] = rowOf(&f)
		all[i].Jobs = names
	}
	return all
}

// gravity orders what is shown first: what the policy forbids, then the gravest
// verdict.
func (r *row) gravity() int {
	n := 4
	switch {
	case r.class == fingerprint.PossibleC2:
		n = 1
	case r.class == fingerprint.OpenShell:
		n = 2
	case strings.Contains(r.Need, "debugger"):
		n = 3
	}
	if r.breach {
		n -= 10
	}
	return n
}

// place names a site and a vantage, also those that a scan by hand left out.
func place(site, vantage string) string {
	list := slices.DeleteFunc([]string{reports.Line(site), reports.Line(vantage)}, func(s string) bool { return s == "" })
	if len(list) == 0 {
		return "unnamed"
	}
	return strings.Join(list, "/")
}

func targetOf(f *reports.Finding) scanner.Target {
	return scanner.Target{Addr: f.IP, Port: registry.Port{Number: f.Port, Proto: f.Transport}}
}

// pathOf is the page of an open port of a run.
func pathOf(run string, t scanner.Target) string {
	return "/runs/" + url.PathEscape(run) + "/" + url.PathEscape(t.Addr.String()) + "/" + t.Port.Proto.String() + "/" + strconv.Itoa(int(t.Port.Number))
}

// parseTarget reads what pathOf wrote.
func parseTarget(addr, proto, port string) (scanner.Target, bool) {
	a, wrong := netip.ParseAddr(addr)
	p, err := registry.ParsePort(port + "/" + proto)
	return scanner.Target{Addr: a.Unmap(), Port: p}, wrong == nil && err == nil
}
