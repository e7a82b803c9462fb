package reports

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"dormant/scanner"
)

// NmapXML writes the XML that nmap writes, as far as it was measured, so that
// what reads nmap's output (ndiff, importers, stylesheets) reads ours: hosts
// with their ports, states, reasons and services. The verdict and its evidence
// stand where nmap puts the result of a script, under the id "dormant". A
// service is only named when it was proved: the registry's name, which nmap
// would give with method "table", is left out.
type NmapXML struct {
	w        io.Writer
	o        Options
	host     *nmapHost // whose findings are coming, nil before the first
	last     time.Time // of all findings
	up, down uint64
}

// nmapHost is what the findings of one host say of it.
type nmapHost struct {
	addr        netip.Addr
	first, last time.Time // of its findings that have a time
	state       string    // up or down
	reason      string    // of the state
	ttl         uint8     // of the packet that gave it
	mac, vendor string
	names       []string
	ports       bytes.Buffer
}

var _ Sink = (*NmapXML)(nil)

// NewNmapXML writes the beginning to w and returns the sink of the hosts.
func NewNmapXML(w io.Writer, o Options) (*NmapXML, error) {
	run := o.run()
	var b bytes.Buffer
	b.WriteString(xml.Header + "<!DOCTYPE nmaprun>\n")
	b.WriteString(`<nmaprun scanner="dormant"`)
	if t := run.Scan.Started; !t.IsZero() {
		attribute(&b, "start", strconv.FormatInt(t.Unix(), 10))
		attribute(&b, "startstr", t.UTC().Format(time.ANSIC))
	}
	attribute(&b, "version", orDash(run.Version))
	b.WriteString(` xmloutputversion="1.05">` + "\n")
	x := &NmapXML{w: w, o: o}
	return x, x.flush(&b)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return escape(s, maxText)
}

// Write adds the port to its host; a host is written when the next one begins.
func (x *NmapXML) Write(_ context.Context, f Finding) error {
	if x.host == nil || f.IP != x.host.addr {
		if err := x.endHost(); err != nil {
			return err
		}
		x.host = &nmapHost{addr: f.IP, state: "down", reason: nmapReason(f.Reason), ttl: f.TTL}
	}
	x.host.add(&f)
	return nil
}

// add takes what a finding says of its host.
func (h *nmapHost) add(f *Finding) {
	if h.state == "down" && (f.State == scanner.Open || f.State == scanner.Closed) { // the host itself answered
		h.state, h.reason, h.ttl = "up", nmapReason(f.Reason), f.TTL
	}
	if at := f.ObservedAt; !at.IsZero() {
		if h.first.IsZero() || at.Before(h.first) {
			h.first = at
		}
		if at.After(h.last) {
			h.last = at
		}
	}
	if h.mac == "" {
		h.mac, h.vendor = f.MAC, f.MACVendor
	}
	if f.Hostname != "" && !slices.Contains(h.names, f.Hostname) {
		h.names = append(h.names, f.Hostname)
	}
	h.port(f)
}

func (h *nmapHost) port(f *Finding) {
	b := &h.ports
	b.WriteString("<port")
	attribute(b, "protocol", transport(f))
	attribute(b, "portid", strconv.Itoa(int(f.Port)))
	b.WriteString("><state")
	attribute(b, "state", nmapState(f.State))
	attribute(b, "reason", nmapReason(f.Reason))
	attribute(b, "reason_ttl", strconv.Itoa(int(f.TTL)))
	if f.ReasonIP.IsValid() && f.ReasonIP != f.IP {
		attribute(b, "reason_ip", address(f.ReasonIP))
	}
	b.WriteString("/>")
	if f.Service != "" && f.Service != "unknown" && f.Service != "silent" {
		b.WriteString("<service")
		attribute(b, "name", escape(f.Service, maxText))
		optional(b, "product", escape(f.Product, maxText))
		optional(b, "version", escape(f.Version, maxText))
		attribute(b, "method", "probed")
		attribute(b, "conf", strconv.Itoa(min(10, max(0, f.Confidence/10))))
		if f.CPE == "" {
			b.WriteString("/>")
		} else {
			b.WriteString("><cpe>")
			content(b, escape(f.CPE, maxText))
			b.WriteString("</cpe></service>")
		}
	}
	if f.Verdict != 0 {
		h.script(f)
	}
	b.WriteString("</port>\n")
}

// script writes the verdict as the result of a script.
func (h *nmapHost) script(f *Finding) {
	b := &h.ports
	b.WriteString(`<script id="dormant"`)
	attribute(b, "output", explain(f).Title+". "+sentence(f)+bracket("Evidence: ", escape(f.Evidence, maxEvidence)))
	b.WriteString(">")
	for _, e := range [][2]string{
		{"verdict", f.Verdict.String()}, {"confidence", confidence(f)}, {"severity", f.Severity}, {"rule_id", f.RuleID},
		{"evidence", f.Evidence}, {"evidence_id", f.EvidenceID}, {"confirmed", f.Confirmed},
	} {
		b.WriteString("<elem")
		attribute(b, "key", e[0])
		b.WriteString(">")
		content(b, escape(e[1], maxText))
		b.WriteString("</elem>")
	}
	b.WriteString("</script>")
}

// endHost writes the host whose findings have all come.
func (x *NmapXML) endHost() error {
	h := x.host
	if h == nil {
		return nil
	}
	if h.state == "up" {
		x.up++
	} else {
		x.down++
	}
	if h.last.After(x.last) {
		x.last = h.last
	}
	var b bytes.Buffer
	h.write(&b)
	return x.flush(&b)
}

func (h *nmapHost) write(b *bytes.Buffer) {
	b.WriteString("<host")
	if !h.first.IsZero() {
		attribute(b, "starttime", strconv.FormatInt(h.first.Unix(), 10))
		attribute(b, "endtime", strconv.FormatInt(h.last.Unix(), 10))
	}
	b.WriteString("><status")
	attribute(b, "state", h.state)
	attribute(b, "reason", h.reason)
	attribute(b, "reason_ttl", strconv.Itoa(int(h.ttl)))
	b.WriteString("/>\n<address")
	attribute(b, "addr", address(h.addr.WithZone("")))
	family := "ipv4"
	if h.addr.Is6() {
		family = "ipv6"
	}
	attribute(b, "addrtype", family)
	b.WriteString("/>\n")
	if h.mac != "" {
		b.WriteString("<address")
		attribute(b, "addr", escape(h.mac, maxText))
		attribute(b, "addrtype", "mac")
		optional(b, "vendor", escape(h.vendor, maxText))
		b.WriteString("/>\n")
	}
	b.WriteString("<hostnames>")
	for _, name := range h.names {
		b.WriteString("<hostname")
		attribute(b, "name", escape(name, maxText))
		attribute(b, "type", "user")
		b.WriteString("/>")
	}
	b.WriteString("</hostnames>\n<ports>")
	b.Write(h.ports.Bytes())
	b.WriteString("</ports>\n</host>\n")
}

// Close writes the last host and the end.
func (x *NmapXML) Close() error {
	if err := x.endHost(); err != nil {
		return err
	}
	run := x.o.run()
	end, exit := run.Scan.Finished, "success"
	if end.IsZero() {
		end = x.last
	}
	if run.Interrupted {
		exit = "error"
	}
	var b bytes.Buffer
	b.WriteString("<runstats><finished")
	attribute(&b, "time", strconv.FormatInt(max(0, end.Unix()), 10))
	if !end.IsZero() {
		attribute(&b, "timestr", end.UTC().Format(time.ANSIC))
	}
	if d := run.Scan.Finished.Sub(run.Scan.Started); d > 0 {
		attribute(&b, "elapsed", strconv.FormatFloat(d.Seconds(), 'f', 2, 64))
	}
	attribute(&b, "summary", escape(run.Coverage(), maxNote))
	attribute(&b, "exit", exit)
	b.WriteString("/><hosts")
	attribute(&b, "up", strconv.FormatUint(x.up, 10))
	attribute(&b, "down", strconv.FormatUint(x.down, 10))
	attribute(&b, "total", strconv.FormatUint(x.up+x.down, 10))
	b.WriteString("/></runstats>\n</nmaprun>\n")
	return x.flush(&b)
}

func (x *NmapXML) flush(b *bytes.Buffer) error {
	if _, err := x.w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("reports: write nmap XML: %w", err)
	}
	return nil
}

// attribute writes name="value"; value is printable ASCII.
func attribute(b *bytes.Buffer, name, value string) {
	b.WriteString(" " + name + `="`)
	content(b, value)
	b.WriteString(`"`)
}

func optional(b *bytes.Buffer, name, value string) {
	if value != "" {
		attribute(b, name, value)
	}
}

func content(b *bytes.Buffer, s string) {
	_ = xml.EscapeText(b, []byte(s)) // a buffer takes everything
}

// nmapState returns nmap's word; "unknown" is ours: nothing was measured.
func nmapState(s scanner.State) string {
	switch s {
	case scanner.Open, scanner.Closed, scanner.Filtered, scanner.Unknown:
		return s.String()
	case scanner.OpenFiltered:
		return "open|filtered"
	case scanner.Unreachable:
		return "filtered"
	default:
		return "unknown"
	}
}

// nmapReason returns nmap's word for a reason; ours where it has none.
func nmapReason(r scanner.Reason) string {
	words := map[scanner.Reason]string{
		scanner.Rst: "reset", scanner.UDPReply: "udp-response", scanner.ICMPNetUnreachable: "net-unreach",
		scanner.ICMPHostUnreachable: "host-unreach", scanner.ICMPProtocolUnreachable: "proto-unreach",
		scanner.ICMPPortUnreachable: "port-unreach", scanner.ICMPNetProhibited: "net-prohibited",
		scanner.ICMPHostProhibited: "host-prohibited", scanner.ICMPAdminProhibited: "admin-prohibited",
		scanner.ICMPTimeExceeded: "time-exceeded",
	}
	if word, ok := words[r]; ok {
		return word
	}
	return r.String()
}
