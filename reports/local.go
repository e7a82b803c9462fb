package reports

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"dormant/fingerprint"
	"dormant/scanner"
	"dormant/scanner/listeners"
)

// LocalVantage is the vantage of what a host tells of itself.
const LocalVantage = "local"

// NewLocalFinding makes the row of a listener at one of its addresses, in the
// schema of every scan, so that both can be joined. host is this host's name.
// Confirmed is "no": nobody has shaken hands with it.
func NewLocalFinding(meta Meta, host, iana string, l listeners.Listener, addr netip.Addr, at time.Time, e listeners.Ephemeral, v *fingerprint.Verdict) Finding {
	f := Finding{
		Schema: SchemaVersion, ScanID: meta.ScanID, Site: meta.Site, Vantage: meta.Vantage, Ticket: meta.Ticket,
		ObservedAt: utc(at), IP: addr, Transport: l.Port.Proto, Port: l.Port.Number, IANAName: iana,
		State: scanner.Open, Reason: scanner.LocalSocket, Confirmed: ConfirmedNo, Severity: "info", Clients: -1, Full: v,
	}
	if v != nil {
		f.judged(v, nil)
	}
	f.Hostname = host
	f.Note = escape(strings.Join(append([]string{Holder(l)}, notEmpty(f.Note)...), "; "), maxNote)
	if e.Holds(l.Port.Number) {
		f.Flags = append(f.Flags, "ephemeral_range")
	}
	if addr.IsLoopback() {
		f.Flags = append(f.Flags, "loopback_only")
	}
	return f
}

func notEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// Holder says in words who holds a socket: process, file, user, start, package,
// unit, container, namespace. It may hold any bytes.
func Holder(l listeners.Listener) string {
	var parts []string
	add := func(format string, value string) {
		if value != "" {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	if p := l.Process; p == nil {
		parts = append(parts, "process not visible (needs root)")
		add("user %s", l.User)
	} else {
		parts = append(parts, fmt.Sprintf("%s (pid %d)", p.Name, p.PID))
		add("%s", p.Path)
		add("runs %s", p.Script)
		add("user %s", p.User)
		add("since %s", moment(p.Started))
		add("package %s", p.Package)
		if p.Package == "" && p.Packed && p.Path != "" {
			parts = append(parts, "of no package")
		}
		add("unit %s", p.Unit)
		add("container %s", p.Group)
	}
	if l.Shared > 0 {
		parts = append(parts, "shared with "+plural(uint64(l.Shared), "more process"))
	}
	add("namespace %s", l.Namespace)
	return strings.Join(parts, ", ")
}
