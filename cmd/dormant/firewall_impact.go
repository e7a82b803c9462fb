package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dormant/registry"
	"dormant/reports"
	"dormant/reports/firewall"
	"dormant/reports/history"
	"dormant/scanner"
	"dormant/scanner/listen"
)

// impactOptions are the flags of firewall impact.
type impactOptions struct {
	proposed, current string
	run, db           string
	noHistory         bool // of clients
	findings          []string
	clients           []string
	clientsFormat     string
	format            string
	ipset             string
	assume            []string
	acl               []string
	place             string
	outputs           []string
}

// newImpact joins rules, services and clients.
func newImpact(a *app) *cobra.Command {
	var o impactOptions
	cmd := &cobra.Command{
		Use:   "impact --proposed FILE",
		Short: "who a rule change cuts off, what it opens, what cannot be judged",
		Long: `Joins the rules with the services of a scan and the clients that were seen, and
says by rule who loses access, what becomes reachable, which rules no packet
reaches, and the smallest exception in the syntax of the file. It reads files
only.

Rules: simple YAML or CSV, iptables-save (sets with --ipset), nft -j list
ruleset, Cisco IOS or ASA extended access lists, AWS describe-security-groups or
describe-security-group-rules. The format is recognised. What a file does not say
is unknown, with line and reason, and never guessed; --assume says it:
  zone=eth0:10.2.0.0/16    what lies behind an interface or a zone, and nothing else
  group=sg-1:10.0.0.5      who is in a security group, an object group or a set
  self:10.0.0.1            the firewall's own addresses

Clients: what dormant listen writes or reads: conntrack -L, ss -tn, Zeek's
conn.log, nfdump CSV, AWS flow logs, captures, CSV (src,dst,proto,dport). Without
--clients those that dormant listen stored in the history are taken.

Simple YAML, first match decides:
  default: deny
  rules:
    - {id: r10, action: allow, proto: [tcp, udp], src: 10.2.0.0/16, dst: 10.0.1.20, dport: 1947}

Exit 1: something in use would be cut off. Exit 3: something that matters could
not be judged.`,
		Example: `  dormant firewall impact --proposed new.yaml --current old.yaml --clients clients.csv
  dormant firewall impact --proposed rules.v4 --findings audit.csv --place router -o impact.html -o impact.json
  dormant firewall impact --proposed asa.cfg --acl outside_in --run last`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runImpact(cmd.Context(), a, &o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.proposed, "proposed", "", "rules after the change: `FILE`, - is stdin")
	flags.StringVar(&o.current, "current", "", "rules before the change: `FILE`")
	flags.StringVar(&o.run, "run", "", "services of a stored `RUN` (default: last)")
	addDBFlag(flags, &o.db)
	flags.StringArrayVar(&o.findings, "findings", nil, "services from a `FILE`.csv or .jsonl that scan wrote, instead of a run (repeatable)")
	flags.StringArrayVar(&o.clients, "clients", nil, "who was seen: `FILE` (repeatable; default: those of the history)")
	flags.BoolVar(&o.noHistory, "no-history", false, "without --clients, do not take those that dormant listen stored")
	flags.StringVar(&o.clientsFormat, "clients-format", "", "what the clients files are, where it is not recognised: "+strings.Join(listen.FlowFormats(), ", "))
	flags.StringVar(&o.format, "format", "", "syntax of the rules, where it is not recognised: "+strings.Join(firewall.FormatNames(), ", "))
	flags.StringVar(&o.ipset, "ipset", "", "output of ipset save, for the sets that iptables rules name: `FILE`")
	flags.StringArrayVar(&o.assume, "assume", nil, "what the files do not say: `zone=NAME:NETWORKS`, group=NAME:ADDRESSES or self:ADDRESSES (repeatable)")
	flags.StringArrayVar(&o.acl, "acl", nil, "access list that packets pass, where a Cisco file has several: `NAME` (repeatable, in order)")
	flags.Var(oneOf(&o.place, "auto", "router", "server"), "place", "where the firewall stands: between clients and servers, or on the server")
	flags.StringArrayVarP(&o.outputs, "output", "o", nil, "write to `FILE`: the report as "+orList(firewall.Endings())+", the findings with the columns fw_effect, fw_rule and clients as .csv, .xlsx or .jsonl (repeatable)")
	return cmd
}

// runImpact reads everything, then judges, then writes.
func runImpact(ctx context.Context, a *app, o *impactOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	q, err := o.question(ctx, a)
	if err != nil {
		return err
	}
	m, err := firewall.NewImpact(ctx, q)
	if ctx.Err() != nil {
		return &exitError{exitInterrupted, errors.New("interrupted: nothing was judged or written")}
	}
	if err != nil {
		return &exitError{exitUsage, err}
	}
	for _, path := range o.outputs {
		if err := writeImpact(ctx, path, m); err != nil {
			return &exitError{exitOutput, err}
		}
	}
	if !a.quiet {
		if err := firewall.WriteText(a.stdout, m); err != nil {
			return &exitError{exitOutput, err}
		}
	}
	switch {
	case m.InUse():
		return &exitError{exitFindings, nil}
	case m.Unclear():
		return &exitError{exitIncomplete, nil}
	default:
		return nil
	}
}

// check finds what no single flag can know.
func (o *impactOptions) check() error {
	if o.proposed == "" {
		return usageError("--proposed is missing: want the file with the rules after the change")
	}
	if o.run != "" && len(o.findings) > 0 {
		return usageError("--run and --findings: want one of the two")
	}
	if o.proposed == "-" && (o.current == "-" || slices.Contains(o.clients, "-")) {
		return usageError("standard input can be read only once")
	}
	for i, path := range o.outputs {
		if slices.Contains(o.outputs[:i], path) {
			return usageError("--output %s is given twice", path)
		}
		if _, ok := firewall.WriterOf(path); !ok {
			if _, err := (reports.Options{}).FormatOf(path); err != nil {
				return usageError("--output %s: want %s for the report, or .csv, .xlsx, .jsonl for the findings", path, orList(firewall.Endings()))
			}
		}
		if err := reports.Check(path); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	return nil
}

// question gathers what the files say.
func (o *impactOptions) question(ctx context.Context, a *app) (q firewall.Question, err error) {
	opts, err := o.options()
	if err != nil {
		return q, err
	}
	if q.Proposed, err = readRules(a, "--proposed", o.proposed, opts); err != nil {
		return q, err
	}
	if o.current != "" {
		if q.Current, err = readRules(a, "--current", o.current, opts); err != nil {
			return q, err
		}
	}
	switch o.place {
	case "router":
		q.Place = firewall.Router
	case "server":
		q.Place = firewall.Server
	}
	if q.Findings, err = o.services(ctx); err != nil {
		return q, err
	}
	q.Now, q.Asked = time.Now(), len(o.clients) > 0
	switch {
	case q.Asked:
		q.Clients, err = o.seen(ctx, a, q.Findings)
	case !o.noHistory:
		q.Clients, q.Asked, err = o.heard(ctx, a, q.Findings)
	}
	return q, err
}

// options reads what the rules leave open.
func (o *impactOptions) options() (opts firewall.Options, err error) {
	opts.Format, opts.ACL = o.format, o.acl
	if o.format != "" && !slices.Contains(firewall.FormatNames(), o.format) {
		return opts, usageError("--format %q: want %s", o.format, orList(firewall.FormatNames()))
	}
	for _, s := range o.assume {
		if err := opts.Assume.Set(s); err != nil {
			return opts, usageError("--assume: %w", err)
		}
	}
	if o.ipset != "" {
		opts.IPSetsFile = o.ipset
		if opts.IPSets, err = readWhole(o.ipset, maxRules); err != nil {
			return opts, usageError("--ipset: %w", err)
		}
	}
	return opts, nil
}

// The bounds of what is read whole, in bytes: rules and sets as firewall.Parse
// has it, findings as a scan of a /12 writes them, and what is in a bundle.
const (
	maxRules    = 64 << 20
	maxFindings = 1 << 30
	maxBundle   = 256 << 20
)

func readRules(a *app, flag, path string, opts firewall.Options) (*firewall.RuleSet, error) {
	name := path
	var text []byte
	var err error
	if path == "-" {
		name = "stdin"
		text, err = io.ReadAll(io.LimitReader(a.stdin, maxRules+1))
	} else {
		text, err = readWhole(path, maxRules)
	}
	if err != nil {
		return nil, usageError("%s: %w", flag, err)
	}
	rules, err := firewall.Parse(name, text, opts)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return rules, nil
}

// services reads the findings of the files, or of a run.
func (o *impactOptions) services(ctx context.Context) ([]reports.Finding, error) {
	var out []reports.Finding
	for _, path := range o.findings {
		text, err := readWhole(path, maxFindings)
		if err != nil {
			return nil, usageError("--findings: %w: want what scan -o FILE.csv or FILE.jsonl wrote", err)
		}
		some, err := firewall.ReadFindings(path, text)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		out = append(out, some...)
	}
	if len(o.findings) == 0 {
		name := o.run
		if name == "" {
			name = "last"
		}
		if err := withRun(ctx, o.db, name, func(s *history.Store, r history.Run) error {
			return s.Findings(ctx, r, func(f reports.Finding) error {
				out = append(out, f)
				return nil
			})
		}); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(out, func(f reports.Finding) bool { return f.State == scanner.Open }) {
		return nil, usageError("no open port was found by the scan: there is nothing to judge")
	}
	return out, nil
}

// seen reads who uses the services.
func (o *impactOptions) seen(ctx context.Context, a *app, findings []reports.Finding) ([]listen.Client, error) {
	var ports []registry.Port
	for _, f := range findings {
		if p := (registry.Port{Number: f.Port, Proto: f.Transport}); f.State == scanner.Open && !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	table := listen.NewTable(maxClients)
	ear, err := listen.NewEar(listen.Config{Ports: ports, Table: table})
	if err != nil {
		return nil, err
	}
	for _, path := range o.clients {
		if err := o.readClients(ctx, a, ear, path); err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("--clients: %w", err)}
		}
	}
	if n := table.Forgotten(); n > 0 {
		return nil, usageError("--clients: more than %d clients: %d would be left out", maxClients, n)
	}
	return table.Clients(), nil
}

// heard takes the clients that the history knows, of the sites of the findings.
// It reports false when nobody ever listened.
func (o *impactOptions) heard(ctx context.Context, a *app, findings []reports.Finding) (clients []listen.Client, asked bool, err error) {
	s, err := openHistory(ctx, o.db)
	if s == nil || err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	hearings, err := s.Hearings(ctx)
	if err != nil || len(hearings) == 0 {
		return nil, false, err
	}
	var sites []string
	for i := range findings {
		if !slices.Contains(sites, findings[i].Site) {
			sites = append(sites, findings[i].Site)
		}
	}
	clients, err = knownClients(ctx, s, sites)
	a.log.Info("clients of the history", "clients", len(clients), "hearings", len(hearings), "last_began", hearings[0].Started.Format(time.RFC3339))
	return clients, true, err
}

// maxClients bounds the clients that are held, at some 200 bytes each.
const maxClients = 1 << 20

func (o *impactOptions) readClients(ctx context.Context, a *app, ear *listen.Ear, path string) error {
	name, in, opts := "stdin", a.stdin, listen.FlowOptions{Format: o.clientsFormat, At: time.Now()}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			opts.At = info.ModTime()
		}
		name, in = path, f
	}
	flows, err := ear.Read(ctx, name, in, opts)
	if err != nil {
		return err
	}
	a.log.Info("clients read", "file", name, "format", flows.Format, "lines", flows.Lines, "of_these_ports", flows.Taken, "ambiguous", flows.Ambiguous)
	if flows.Ambiguous+flows.NotLogged > 0 {
		a.log.Warn("not everything in a clients file tells who is the client", "file", name, "ambiguous", flows.Ambiguous, "not_logged", flows.NotLogged)
	}
	return nil
}

// writeImpact writes the report, or the findings with their new columns.
func writeImpact(ctx context.Context, path string, m *firewall.Impact) error {
	if write, ok := firewall.WriterOf(path); ok {
		return reports.WriteFile(path, func(w io.Writer) error { return write(w, m) })
	}
	f, err := reports.OpenFile(path, reports.Options{})
	if err != nil {
		return err
	}
	for _, finding := range m.Findings() {
		if err := f.Write(ctx, finding); err != nil {
			return errors.Join(err, f.Abort())
		}
	}
	return f.Close()
}
