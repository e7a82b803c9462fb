package registry

import (
	"embed"
	"io/fs"
	"slices"
)

//go:embed data/dormant.yaml
var data embed.FS

// Registry answers what a port should be: dossiers, and IANA's list where it
// was imported. It is immutable, the zero value is empty.
type Registry struct {
	entries []Entry // by number
	checks  []Check // with {port}: for dossiers that bring none
	iana    *IANA   // nil: not imported
}

// Default returns the dossiers that are built in.
func Default() (*Registry, error) {
	sub, err := fs.Sub(data, "data")
	if err != nil {
		return nil, err // the path is a constant: cannot happen
	}
	return Load(sub)
}

// Entries returns all dossiers by number. The caller owns the slice, not what
// the entries point to.
func (r *Registry) Entries() []Entry { return slices.Clone(r.entries) }

// Lookup returns the dossier that speaks of p, and false when there is none.
func (r *Registry) Lookup(p Port) (Entry, bool) {
	e, ok := r.Number(p.Number)
	if !ok || !e.Covers(p) {
		return Entry{}, false
	}
	return e, true
}

// Number returns the dossier of a port number on whatever transport.
func (r *Registry) Number(n uint16) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(r.entries, n, func(e Entry, n uint16) int { return int(e.Number) - int(n) })
	if !ok {
		return Entry{}, false
	}
	return r.entries[i], true
}

// Name returns the service name under which p is registered, "" when it is
// not or nothing is known. An imported list is newer than a dossier and wins.
// It is the registry's claim, never evidence of what runs there.
func (r *Registry) Name(p Port) string {
	for _, reg := range r.Registrations(p) {
		if reg.Service != "" {
			return reg.Service
		}
	}
	return ""
}

// Registrations returns the rows that hold for p: those of the imported list,
// or those of the dossier when the list was not imported or does not know p.
func (r *Registry) Registrations(p Port) []Registration {
	if rows := r.iana.Lookup(p); len(rows) > 0 {
		return rows
	}
	e, _ := r.Number(p.Number)
	var rows []Registration
	for _, reg := range e.Registrations {
		if reg.Holds(p) {
			rows = append(rows, reg)
		}
	}
	return rows
}

// IANA returns the imported list, nil when none was.
func (r *Registry) IANA() *IANA { return r.iana }

// Overlay returns a registry in which the dossiers of over replace those of r
// with the same number and are added to the others. A dossier of over that
// has no check commands is given the common ones of r.
// The list that was imported into over wins over that of r.
func (r *Registry) Overlay(over *Registry) *Registry {
	out := &Registry{checks: r.checks, iana: r.iana}
	if over.iana != nil {
		out.iana = over.iana
	}
	for _, e := range r.entries {
		if _, replaced := over.Number(e.Number); !replaced {
			out.entries = append(out.entries, e)
		}
	}
	for _, e := range over.entries {
		if len(e.Checks) == 0 {
			e.Checks = fill(r.checks, e.Number)
		}
		out.entries = append(out.entries, e)
	}
	slices.SortFunc(out.entries, byNumber)
	return out
}

// WithIANA returns a registry with the imported list n, nil for none.
func (r *Registry) WithIANA(n *IANA) *Registry {
	return &Registry{entries: r.entries, checks: r.checks, iana: n}
}

func byNumber(a, b Entry) int { return int(a.Number) - int(b.Number) }
