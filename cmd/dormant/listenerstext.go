package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/scanner/listeners"
)

// show prints the view, or the comparison where there is a scan, and says
// whether they differ.
func (v *hostView) show(ctx context.Context, a *app, o *listenersOptions, scanned []reports.Finding) (differs bool, err error) {
	if o.scan != "" {
		joined := reports.JoinHost(v.findings, scanned, v.report.Addrs)
		for _, j := range joined {
			differs = differs || j.Result.Differs()
		}
		return differs, writeJoined(a.stdout, joined, o.format)
	}
	switch {
	case o.format == "json":
		return false, v.writeJSON(a.stdout)
	case o.format == "csv":
		sink, err := reports.NewCSV(a.stdout, reports.CSVOptions{})
		if err != nil {
			return false, err
		}
		return false, v.pour(ctx, sink)
	case a.quiet && len(o.outputs) > 0:
		return false, nil
	default:
		return false, v.writeTable(a.stdout)
	}
}

func (v *hostView) writeTable(w io.Writer) error {
	if len(v.report.Listeners) == 0 {
		_, err := fmt.Fprintf(w, "nobody on this host holds these ports (%d network namespaces)\n", v.report.Namespaces)
		return err
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options.SeparateRows = false
	if columns := width(w); columns > 0 {
		t.Style().Size.WidthMax = columns
	}
	t.AppendHeader(table.Row{"PORT", "ROLE", "BOUND TO", "VERDICT", "SEVERITY", "HELD BY"})
	for i, l := range v.report.Listeners {
		verdict := v.verdicts[i]
		bound := boundTo(l)
		said := verdict.Class.String()
		if len(verdict.Flags) > 0 {
			said += " (" + strings.Join(verdict.Flags, ", ") + ")"
		}
		t.AppendRow(table.Row{l.Port.String(), string(l.Role), bound, said, verdict.Severity, reports.Line(reports.Holder(l))})
	}
	_, err := io.WriteString(w, t.Render()+"\n")
	return err
}

// listenerJSON is a listener with what was made of it.
type listenerJSON struct {
	listeners.Listener
	IANAName  string              `json:"iana_name"`
	Ephemeral bool                `json:"in_ephemeral_range"`
	Judgement fingerprint.Verdict `json:"judgement"`
}

func (v *hostView) writeJSON(w io.Writer) error {
	all := make([]listenerJSON, 0, len(v.report.Listeners))
	for i, l := range v.report.Listeners {
		all = append(all, listenerJSON{l, v.names(l.Port), v.report.Ephemeral.Holds(l.Port.Number), v.verdicts[i]})
	}
	return writeJSON(w, all)
}

// joinedRow is one port in both views, in words.
type joinedRow struct {
	IP       string `json:"ip"`
	Port     string `json:"port"`
	Result   string `json:"result"`
	Network  string `json:"network"` // state and verdict of the scan
	Scanned  string `json:"scanned_at"`
	Host     string `json:"host"` // verdict by the process
	Holder   string `json:"held_by"`
	Differs  bool   `json:"differs"`
	Addendum string `json:"advice"`
}

func newJoinedRow(j reports.Joined) joinedRow {
	r := joinedRow{IP: j.Target.Addr.String(), Port: j.Target.Port.String(), Result: string(j.Result), Differs: j.Result.Differs(), Addendum: advice(j.Result)}
	if n := j.Network; n != nil {
		r.Network = strings.TrimSpace(n.State.String() + " " + n.Verdict.String() + " " + reports.Line(n.Product))
		if !n.ObservedAt.IsZero() {
			r.Scanned = n.ObservedAt.UTC().Format("2006-01-02T15:04:05Z")
		}
	}
	if h := j.Host; h != nil {
		r.Host, r.Holder = h.Verdict.String(), reports.Line(h.Note)
	}
	return r
}

// advice says what a difference may come from.
func advice(a reports.Agreement) string {
	switch a {
	case reports.Contrary:
		return "what answers is not what the process looks like: something may stand between, or the process is not what its name says"
	case reports.Blocked:
		return "a firewall on the way or on this host keeps the scan out, or the listener is newer than the scan"
	case reports.NotSeen:
		return "the scan has no answer for it: not scanned, silent over UDP, filtered and not listed, or the listener is newer"
	case reports.NotHere:
		return "nobody here is seen to listen: a forwarded port, a container, a listener that has ended, or one that hides"
	case reports.Agree, reports.LocalOnly, reports.NotScanned:
		return ""
	default: // none
		return ""
	}
}

func writeJoined(w io.Writer, joined []reports.Joined, format string) error {
	rows := make([]joinedRow, 0, len(joined))
	for _, j := range joined {
		rows = append(rows, newJoinedRow(j))
	}
	switch format {
	case "json":
		return writeJSON(w, rows)
	case "csv":
		records := make([][]string, len(rows))
		for i, r := range rows {
			records[i] = []string{r.IP, r.Port, r.Result, strconv.FormatBool(r.Differs), reports.Cell(r.Network), r.Scanned, r.Host, reports.Cell(r.Holder), r.Addendum}
		}
		return writeCSV(w, []string{"ip", "port", "result", "differs", "network", "scanned_at", "host", "held_by", "advice"}, records)
	}
	if len(rows) == 0 {
		_, err := io.WriteString(w, "neither this host nor the scan has anybody on these ports\n")
		return err
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	if columns := width(w); columns > 0 {
		t.Style().Size.WidthMax = columns
	}
	t.AppendHeader(table.Row{"IP", "PORT", "RESULT", "NETWORK", "HOST", "HELD BY", "MAY COME FROM"})
	for _, r := range rows {
		t.AppendRow(table.Row{r.IP, r.Port, r.Result, r.Network, r.Host, r.Holder, r.Addendum})
	}
	_, err := io.WriteString(w, t.Render()+"\n")
	return err
}

// boundTo is where a socket is reached, or whom it speaks with.
func boundTo(l listeners.Listener) string {
	is4 := func(a netip.Addr) bool { return a.Is4() }
	outside := func(a netip.Addr) bool { return !a.IsLoopback() }
	switch {
	case l.Role == listeners.Source:
		return "to " + l.Peer.String()
	case !l.Bound.IsUnspecified():
		return l.Bound.String()
	case !slices.ContainsFunc(l.Addrs, outside):
		return l.Bound.String() + " (only loopback)"
	case l.Bound.Is6() && !slices.ContainsFunc(l.Addrs, is4):
		return l.Bound.String() + " (every IPv6 address)"
	default:
		return l.Bound.String() + " (every address)"
	}
}
