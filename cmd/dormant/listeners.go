package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner/listeners"
)

// listenersOptions are the flags of listeners.
type listenersOptions struct {
	ports        portList
	format       string
	outputs      []string
	scan         string
	registryDir  string
	site, ticket string
}

// newListeners tells who on this host listens on the ports.
func newListeners(a *app) *cobra.Command {
	var o listenersOptions
	cmd := &cobra.Command{
		Use:   "listeners",
		Short: "who on this host listens on these ports: process, path, user, package",
		Long: `listeners looks at the sockets of this host, in all of its network namespaces, and
says who holds the ports: process, file, user, start, the package that owns the
file, systemd unit or Windows service, container. It judges the process by the
dossier and by its name and place, which is weaker than what answers on the
network. Nothing is sent.

It also says when a port lies in the range that this system draws source ports
from, and who holds one of the ports as a client.

With --scan it holds the host's view against the CSV of a scan: agree, contradict
(what answers is not what the process looks like), blocked (somebody listens, and
the scan was kept from it), not_seen (the scan tells nothing of it), local_only,
not_scanned (in a container or namespace that the scan says nothing of), not_here
(the network has an answer, and nobody is seen to listen).

Without root the processes of other users stay hidden: exit code 3, and the log
says how many. A difference from the scan is exit code 1.`,
		Example: `  sudo dormant listeners
  dormant listeners --ports 3712 --format json
  sudo dormant listeners -o host.csv
  sudo dormant listeners --scan audit.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runListeners(cmd.Context(), a, &o) },
	}
	flags := cmd.Flags()
	o.ports = defaultPorts()
	flags.Var(&o.ports, "ports", "ports to look for: 1947/tcp,5093/udp,3588 (a bare number is both)")
	flags.Var(oneOf(&o.format, "table", "json", "csv"), "format", "form of the output: table, json or csv")
	flags.StringArrayVarP(&o.outputs, "output", "o", nil, "write the listeners to a `FILE` as scan does (format by extension, repeatable)")
	flags.StringVar(&o.scan, "scan", "", "hold the host's view against the CSV `FILE` of a scan (- is stdin)")
	flags.StringVar(&o.site, "site", "", "name of the site, for the reports")
	flags.StringVar(&o.ticket, "ticket", "", "change ticket, for the reports")
	addRegistryFlag(cmd, &o.registryDir)
	return cmd
}

// hostView is what was seen of this host, and what was made of it.
type hostView struct {
	report   listeners.Report
	verdicts []fingerprint.Verdict // of report.Listeners
	findings []reports.Finding     // of those that listen, one for each address
	names    func(registry.Port) string
}

func runListeners(ctx context.Context, a *app, o *listenersOptions) error {
	reg, err := loadRegistry(o.registryDir)
	if err != nil {
		return err
	}
	var scanned []reports.Finding
	if o.scan != "" { // read first: a fault is found before anything is looked at
		if scanned, err = readScan(a, o.scan); err != nil {
			return &exitError{exitUsage, fmt.Errorf("--scan: %w", err)}
		}
		scanned = slices.DeleteFunc(scanned, func(f reports.Finding) bool { // of others nothing is looked for here
			return !slices.Contains(o.ports, registry.Port{Number: f.Port, Proto: f.Transport})
		})
	}
	for _, path := range o.outputs {
		if _, err := (reports.Options{}).FormatOf(path); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	r, err := listeners.Look(ctx, listeners.Config{Ports: o.ports})
	if err != nil {
		return &exitError{exitIncomplete, err}
	}
	v := newHostView(r, reg, o)
	for _, path := range o.outputs {
		if err := v.write(ctx, path, reg); err != nil {
			return &exitError{exitOutput, err}
		}
	}
	differs, err := v.show(ctx, a, o, scanned)
	if err != nil {
		return &exitError{exitOutput, fmt.Errorf("listeners: %w", err)}
	}
	hidden := v.tell(a)
	switch {
	case differs:
		return &exitError{exitFindings, nil}
	case hidden:
		return &exitError{exitIncomplete, nil}
	default:
		return nil
	}
}

func readScan(a *app, path string) ([]reports.Finding, error) {
	if path == "-" {
		return reports.ReadScanCSV("stdin", a.stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return reports.ReadScanCSV(path, f)
}

// newHostView judges the listeners and makes findings of them.
func newHostView(r listeners.Report, reg *registry.Registry, o *listenersOptions) *hostView {
	v := &hostView{report: r, names: reg.Name}
	host, _ := os.Hostname() // a host without a name has rows without one
	meta := reports.Meta{ScanID: newScanID(), Site: o.site, Vantage: reports.LocalVantage, Ticket: o.ticket}
	now := time.Now()
	for _, l := range r.Listeners {
		verdict := fingerprint.Verdict{Class: fingerprint.Unidentified, Service: "unknown", Severity: "info"}
		if p := l.Process; p != nil {
			verdict = fingerprint.JudgeProcess(reg.Entries(), l.Port, fingerprint.LocalProcess{
				PID: p.PID, Name: p.Name, Path: p.Path, Script: p.Script, Package: p.Package, Unit: p.Unit, Deleted: p.Deleted,
			})
		}
		v.verdicts = append(v.verdicts, verdict)
		if l.Role != listeners.Listens {
			continue
		}
		for _, addr := range l.Addrs {
			v.findings = append(v.findings, reports.NewLocalFinding(meta, host, reg.Name(l.Port), l, addr, now, r.Ephemeral, &verdict))
		}
	}
	return v
}

// write writes the findings to one file.
func (v *hostView) write(ctx context.Context, path string, reg *registry.Registry) error {
	run := func() reports.Run { return reports.Run{Version: version()} }
	f, err := reports.OpenFile(path, reports.Options{Run: run, Dossier: reg.Lookup})
	if err != nil {
		return err
	}
	return v.pour(ctx, f)
}

// pour gives all findings to a sink, sorted, and closes it.
func (v *hostView) pour(ctx context.Context, sink reports.Sink) error {
	s := reports.NewSorted(sink, "")
	var errs []error
	for _, f := range v.findings {
		errs = append(errs, s.Write(ctx, f))
	}
	return errors.Join(append(errs, s.Close())...)
}

// tell says what the rows do not: who holds a port as a client, which ports
// the system may draw, and what is hidden. It is true when something is.
func (v *hostView) tell(a *app) bool {
	var drawn []string
	for i, l := range v.report.Listeners {
		if l.Role == listeners.Source {
			a.log.Info("a client holds the port as its own end", "port", l.Port.String(), "peer", l.Peer.String(), "process", reports.Line(reports.Holder(l)))
		}
		if v.report.Ephemeral.Holds(l.Port.Number) && (i == 0 || v.report.Listeners[i-1].Port != l.Port) {
			drawn = append(drawn, l.Port.String())
		}
	}
	if len(drawn) > 0 {
		a.log.Warn("the system may draw these as source ports: a client may take one before its server starts",
			"ports", strings.Join(drawn, " "), "range", fmt.Sprintf("%d-%d", v.report.Ephemeral.First, v.report.Ephemeral.Last))
	}
	h := v.report.Hidden
	if h.Sockets+h.Namespaces > 0 || h.Processes > 0 && os.Geteuid() != 0 {
		a.log.Warn("incomplete: not everything of this host is visible, run it as root",
			"listeners_without_process", h.Sockets, "hidden_processes", h.Processes, "hidden_namespaces", h.Namespaces)
		return true
	}
	return false
}
