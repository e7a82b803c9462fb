package reports

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

// ReadScanCSV reads the findings of a scan back from its CSV: when and where
// from, address, port, state and what was made of it. The other columns are not
// read. Errors name the file and the line.
func ReadScanCSV(name string, r io.Reader) ([]Finding, error) {
	c := csv.NewReader(&boundedLines{r: r, line: 1})
	c.ReuseRecord = true
	header, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("reports: %s: want the CSV of a scan: %w", name, orEmpty(err))
	}
	at := map[string]int{}
	for i, column := range header {
		at[strings.TrimPrefix(column, "\ufeff")] = i
	}
	for _, need := range []string{"ip", "transport", "port", "state"} {
		if _, ok := at[need]; !ok {
			return nil, fmt.Errorf("reports: %s:1: no column %s: want the CSV of a scan", name, need)
		}
	}
	var all []Finding
	for {
		record, err := c.Read()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reports: %s: %w", name, err)
		}
		f, err := scanRecord(func(column string) string {
			if i, ok := at[column]; ok {
				return record[i]
			}
			return ""
		})
		if err != nil {
			line, _ := c.FieldPos(0)
			return nil, fmt.Errorf("reports: %s:%d: %w", name, line, err)
		}
		all = append(all, f)
	}
}

// The bounds of what is read back, in bytes. A line that this program writes has
// fewer than 25,000: 44 cells, of which two are longer than 255, all quotes.
const (
	maxScanLine = 1 << 16
	maxScanFile = 1 << 30
)

// boundedLines fails where a line, or all of them, is longer than the bounds.
type boundedLines struct {
	r        io.Reader
	line     int // number of the current one
	now, all int // bytes of it, and of everything
}

func (b *boundedLines) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.all += n
	for _, c := range p[:n] {
		b.now++
		if b.now > maxScanLine {
			return 0, fmt.Errorf("line %d has more than %d bytes", b.line, maxScanLine)
		}
		if c == '\n' {
			b.line, b.now = b.line+1, 0
		}
	}
	if b.all > maxScanFile {
		return 0, fmt.Errorf("it has more than %d bytes", maxScanFile)
	}
	return n, err
}

func orEmpty(err error) error {
	if err == io.EOF {
		return errors.New("the file is empty")
	}
	return err
}

func scanRecord(get func(string) string) (f Finding, err error) {
	f = Finding{Schema: SchemaVersion, Clients: -1, Vantage: get("vantage"), Service: get("service"), Product: get("product")}
	addr, err := netip.ParseAddr(get("ip"))
	if err != nil {
		return f, fmt.Errorf("ip %q: want an address", get("ip"))
	}
	f.IP = addr
	p, err := registry.ParsePort(get("port") + "/" + get("transport"))
	if err != nil {
		return f, err
	}
	f.Port, f.Transport = p.Number, p.Proto
	if f.State, err = scanner.ParseState(get("state")); err != nil {
		return f, err
	}
	if err := f.Verdict.UnmarshalText([]byte(get("verdict"))); err != nil {
		return f, err
	}
	if s := get("observed_at"); s != "" {
		if f.ObservedAt, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return f, fmt.Errorf("observed_at %q: want 2006-01-02T15:04:05Z", s)
		}
	}
	return f, nil
}

// Agreement is how the network's view of a port and the host's go together.
type Agreement string

// The agreements.
const (
	Agree    Agreement = "agree"      // both say that somebody is there, and nothing contradicts
	Contrary Agreement = "contradict" // what answers is not what the process looks like
	Blocked  Agreement = "blocked"    // somebody listens, and the scan was kept from it
	NotSeen  Agreement = "not_seen"   // somebody listens, and the scan tells nothing of it
	// NotScanned is a listener at an address of another namespace, as a
	// container's, that the scan says nothing of.
	NotScanned Agreement = "not_scanned"
	LocalOnly  Agreement = "local_only" // somebody listens on the loopback address only, as it should be unseen
	NotHere    Agreement = "not_here"   // the network has an answer, and nobody is seen to listen
)

// Differs reports whether an agreement is none.
func (a Agreement) Differs() bool { return a != Agree && a != LocalOnly && a != NotScanned }

// Joined is one port in both views; one of them may be nil.
type Joined struct {
	Target  scanner.Target
	Host    *Finding
	Network *Finding
	Result  Agreement
}

// JoinHost holds what a scan says of this host's addresses against what the
// host says, by address and port. addrs are the host's own; addresses at which
// it has listeners in other namespaces count too.
func JoinHost(host, network []Finding, addrs []netip.Addr) []Joined {
	at := map[scanner.Target]int{}
	var all []Joined
	row := func(f *Finding) *Joined {
		t := scanner.Target{Addr: f.IP, Port: registry.Port{Number: f.Port, Proto: f.Transport}}
		i, ok := at[t]
		if !ok {
			i = len(all)
			at[t], all = i, append(all, Joined{Target: t})
		}
		return &all[i]
	}
	ours, scanned := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, a := range addrs {
		ours[a], scanned[a] = true, true
	}
	for i := range host {
		row(&host[i]).Host = &host[i]
		ours[host[i].IP] = true
	}
	for i := range network {
		if f := &network[i]; ours[f.IP] {
			row(f).Network = f
			scanned[f.IP] = true
		}
	}
	all = slices.DeleteFunc(all, func(j Joined) bool { return j.Host == nil && j.Network.State != scanner.Open })
	for i := range all {
		all[i].Result = agreement(all[i].Host, all[i].Network)
		if all[i].Result == NotSeen && !scanned[all[i].Target.Addr] {
			all[i].Result = NotScanned
		}
	}
	slices.SortFunc(all, func(a, b Joined) int { return a.Target.Compare(b.Target) })
	return all
}

func agreement(host, network *Finding) Agreement {
	switch {
	case host == nil:
		return NotHere
	case network == nil && host.IP.IsLoopback():
		return LocalOnly
	case network == nil:
		return NotSeen
	case network.State == scanner.OpenFiltered || network.State == scanner.Unknown:
		return NotSeen // silence of a UDP port tells neither
	case network.State != scanner.Open:
		return Blocked
	case contrary(host.Verdict, network.Verdict):
		return Contrary
	default:
		return Agree
	}
}

// contrary reports whether two verdicts exclude each other. A runtime may serve
// anything that speaks, a tunnel has anything behind it; and where one of them
// does not know, nothing is said.
func contrary(host, network fingerprint.Class) bool {
	vague := []fingerprint.Class{0, fingerprint.Unidentified, fingerprint.TunnelOrProxy}
	if slices.Contains(vague, host) || slices.Contains(vague, network) || host == network {
		return false
	}
	plain := []fingerprint.Class{fingerprint.DevServer, fingerprint.KnownService}
	return !slices.Contains(plain, host) || !slices.Contains(plain, network)
}
