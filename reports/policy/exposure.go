package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// Zone is who is around a vantage. The zero value means "not set".
type Zone string

// The zones.
const (
	Inside  Zone = "inside"
	Outside Zone = "outside"
)

// Vantage says in which zone the vantages lie whose names match.
type Vantage struct {
	Pattern string // in lower case, with * for any part
	Zone    Zone
	Line    int
}

// zone returns where a vantage lies: the first line of the policy that matches
// its name decides. Without one, a vantage that is just called internet, dmz or
// guest is outside: whoever named it so has said it. p may be nil.
func (p *Policy) zone(vantage string) (z Zone, by string) {
	if p != nil {
		for _, v := range p.Vantages {
			if like(v.Pattern, vantage) {
				return v.Zone, "which the policy calls outside"
			}
		}
	}
	switch strings.ToLower(vantage) {
	case "internet", "dmz", "guest":
		return Outside, "which is outside by its name"
	default:
		return Inside, ""
	}
}

// Severities of an exposure: seen from outside it is proved, a public address
// alone may still have a firewall before it.
const (
	outsideSeverity = "high"
	publicSeverity  = "medium"
)

// What Expose puts before a note, by which Undo and Carry find it.
const (
	noteExposed         = "outsiders may reach it: "
	noteExposureWaived  = "exposure waived until "
	noteExposureExpired = ", its waiver ended "
)

// Auditor holds findings against a policy, and marks license managers that
// outsiders may reach. Every way to a report passes one: a scan, a stored run
// that is rendered or checked again, the runs of a server. The zero value knows
// no policy and no dossier, and finds what an address or a vantage's name tells.
type Auditor struct {
	Policy *Policy // nil: none
	// Dossier returns what is known of a port, for its advice;
	// (*registry.Registry).Lookup is one. Nil: only general advice.
	Dossier func(p registry.Port) (registry.Entry, bool)
	Now     time.Time // decides which waivers hold
}

// Hold applies the policy to a finding, if there is one, and then marks an
// exposure. It reports whether the finding breaks the policy.
func (a *Auditor) Hold(f *reports.Finding) (breach bool) {
	if a.Policy != nil {
		breach = a.Policy.Apply(f, a.Now)
	}
	a.expose(f)
	return breach
}

// Again is Hold for a finding that was held before: a policy takes the place of
// the earlier one; without a policy, what that one said stays. ticket is that
// of the scan.
func (a *Auditor) Again(f *reports.Finding, ticket string) (breach bool) {
	switch {
	case a.Policy != nil:
		Undo(f, ticket)
		return a.Hold(f)
	case !marked(f):
		a.expose(f)
	}
	return slices.Contains(f.Flags, FlagBreach)
}

// expose marks an open license manager that outsiders may reach.
func (a *Auditor) expose(f *reports.Finding) {
	if f.State != scanner.Open || f.Verdict != fingerprint.LicenseManager || f.Vantage == reports.LocalVantage {
		return
	}
	severity := ""
	var flags, why []string
	if zone, by := a.Policy.zone(f.Vantage); zone == Outside {
		severity = outsideSeverity
		flags, why = append(flags, reports.FlagOutside), append(why, "from the vantage "+oneNote(f.Vantage)+", "+by)
	}
	if Public(f.IP) {
		severity = cmp.Or(severity, publicSeverity)
		flags, why = append(flags, reports.FlagPublic), append(why, "on a public address")
	}
	if len(why) == 0 {
		return
	}
	note := noteExposed + "it answers " + strings.Join(why, " and ")
	w, last, holds := a.Policy.waiver(f, a.Now)
	if w != nil {
		f.Owner, f.Ticket = cmp.Or(w.Owner, f.Owner), cmp.Or(w.Ticket, f.Ticket)
	}
	switch {
	case holds:
		f.Flags = append(slices.Clone(f.Flags), reports.FlagExposureWaived)
		f.Note = join(noteExposureWaived+last+": "+oneNote(w.Reason), f.Note)
		return
	case w != nil:
		note += noteExposureExpired + last
	}
	f.Exposure = &reports.Exposure{Why: why, Advice: a.advice(f)}
	if f.Exposure.Advice != "" {
		note += ". " + strings.TrimSuffix(oneNote(f.Exposure.Advice), ".")
	}
	f.Flags = append(slices.Clone(f.Flags), flags...)
	f.Severity = worse(f.Severity, severity)
	f.Note = join(note, f.Note)
}

// advice is what the dossier of the port says to do.
func (a *Auditor) advice(f *reports.Finding) string {
	if a.Dossier == nil {
		return ""
	}
	e, _ := a.Dossier(registry.Port{Number: f.Port, Proto: f.Transport})
	return e.Outside()
}

// waiver returns the first waiver that matches and holds, else the last that
// matches, with its last day. p may be nil.
func (p *Policy) waiver(f *reports.Finding, now time.Time) (w *Waiver, last string, holds bool) {
	if p == nil {
		return nil, "", false
	}
	for i := range p.Waivers {
		if !p.Waivers[i].Match.holds(f) {
			continue
		}
		w, last = &p.Waivers[i], p.Waivers[i].lastDay()
		if now.Before(w.Expires) {
			return w, last, true
		}
	}
	return w, last, false
}

// marked reports whether the finding was held for exposure and had one.
func marked(f *reports.Finding) bool { return slices.ContainsFunc(f.Flags, isExposure) }

func isExposure(flag string) bool {
	return slices.Contains([]string{reports.FlagPublic, reports.FlagOutside, reports.FlagExposureWaived}, flag)
}

// carryExposure gives to the mark of from, if it is still a license manager.
func carryExposure(from, to *reports.Finding) {
	if !marked(from) || to.Verdict != fingerprint.LicenseManager {
		return
	}
	to.Flags = slices.Clone(to.Flags)
	for _, s := range from.Flags {
		if isExposure(s) {
			to.Flags = append(to.Flags, s)
		}
	}
	to.Exposure = from.Exposure
	if reports.Exposed(from) {
		to.Severity = worse(to.Severity, from.Severity)
	}
	if note, _ := cutExposure(from.Note); note != "" {
		to.Note = join(note, to.Note)
	}
}

// cutExposure parts a note into what expose put before it and the rest.
func cutExposure(note string) (ours, rest string) {
	if !strings.HasPrefix(note, noteExposed) && !strings.HasPrefix(note, noteExposureWaived) {
		return "", note
	}
	ours, rest, _ = strings.Cut(note, noteEnd)
	return ours, rest
}
