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

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner/listen"
)

// listenOptions are the flags of listen.
type listenOptions struct {
	interfaces  []string
	files       []string
	flowFormat  string
	ports       portList
	promiscuous bool
	noNames     bool
	outputs     []string
	format      string
	every       time.Duration
	duration    time.Duration
	limit       int
	site, db    string
	noHistory   bool
}

// newListen hears who uses the ports, and sends nothing.
func newListen(a *app) *cobra.Command {
	var o listenOptions
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "passive: license clients and servers heard on the wire, no packet sent",
		Long: `listen hears who uses the ports and sends nothing: announcements of license
managers with their host names, connections, datagrams. Clients and servers are
told apart by who asks. It listens on the interfaces of this host until Ctrl-C,
or reads files: captures (pcap, pcapng), and what other tools know of flows:
conntrack -L, ss -tn, Zeek's conn.log (TSV or JSON), nfdump -o csv, AWS VPC flow
logs, CSV with columns client, server, port; all of them also as .gz.

USE says how much was seen: announced (a broadcast), attempted (no answer was
seen), refused, answered (a handshake: a client, or a port scan), used (both
sides spoke, or data went). TOLD BY says how client and server were told apart:
asking (who spoke first), answer, flow (the other tool says so), port (only by
the number, which can be wrong).

A switch shows an interface only what is meant for it, and broadcasts: to hear
others, listen on a mirror port with --promiscuous. Frames are read behind VLAN
tags, of captures also behind PPPoE and MPLS, but not within tunnels (GRE, VXLAN,
ESP). A capture that keeps the first 128 bytes of each frame (tcpdump -s 128) is
enough, but a shorter one may lack ports, flags and names: frames that are cut
before ports and flags are counted, and make it incomplete.

What is heard also goes into the history, beside the runs, again and again while
listening: dormant runs clients lists it, and firewall impact uses it. The history
holds at most 200,000 clients, however long one listens.

Host names are personal data on many sites: --no-names leaves them out. Exit code
3 says that not everything could be heard, read or remembered.`,
		Example: `  sudo dormant listen --interface eth0 -o clients.csv
  dormant listen --read office.pcapng -o clients.csv
  sudo conntrack -L | dormant listen --read -
  dormant listen --read conn.log.gz --read flows.csv --no-names`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runListen(cmd.Context(), a, &o) },
	}
	o.addFlags(cmd)
	return cmd
}

func (o *listenOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.ports = defaultPorts()
	flags.StringArrayVar(&o.interfaces, "interface", nil, "interface `NAME` to listen on, repeatable (default: all that are up, but the loopback)")
	flags.StringArrayVar(&o.files, "read", nil, "read a `FILE` instead: a capture or flows, - is stdin (repeatable)")
	flags.StringVar(&o.site, "site", "", "`NAME` of the site, for the history")
	addDBFlag(flags, &o.db)
	flags.BoolVar(&o.noHistory, "no-history", false, "do not store what is heard")
	flags.StringVar(&o.flowFormat, "read-format", "", "`FORM` of the files, where it is not recognised: "+strings.Join(listen.FlowFormats(), ", "))
	flags.Var(&o.ports, "ports", "ports of interest: 1947/tcp,5093/udp,3588 (a bare number is both)")
	flags.BoolVar(&o.promiscuous, "promiscuous", false, "also hear frames that are meant for others")
	flags.BoolVar(&o.noNames, "no-names", false, "leave out the host names of announcements")
	flags.StringArrayVarP(&o.outputs, "output", "o", nil, "write the clients to a `FILE`.csv or .jsonl, again and again (repeatable)")
	flags.Var(oneOf(&o.format, "table", "csv", "jsonl"), "format", "form of what is printed at the end: table, csv or jsonl")
	flags.DurationVar(&o.every, "every", time.Minute, "write the output files each `TIME` while listening")
	flags.DurationVar(&o.duration, "for", 0, "listen for so long a `TIME` (default: until Ctrl-C)")
	flags.IntVar(&o.limit, "limit", listen.DefaultLimit, "up to `N` clients to remember; the weakest are forgotten beyond it, and counted")
}

// check finds what is wrong before anything is heard.
func (o *listenOptions) check() error {
	switch {
	case len(o.files) > 0 && len(o.interfaces) > 0:
		return usageError("--read and --interface: want one of the two")
	case len(o.files) == 0 && o.flowFormat != "":
		return usageError("--read-format goes with --read")
	case o.flowFormat != "" && !slices.Contains(listen.FlowFormats(), o.flowFormat):
		return usageError("--read-format %q: want %s", o.flowFormat, orList(listen.FlowFormats()))
	case o.every < time.Second:
		return usageError("--every %v: want at least 1s", o.every)
	case o.duration < 0:
		return usageError("--for %v: want a duration above 0", o.duration)
	case o.limit < 1:
		return usageError("--limit %d: want at least 1", o.limit)
	}
	for i, path := range o.outputs {
		if slices.Contains(o.outputs[:i], path) {
			return usageError("--output %s is given twice", path)
		}
		if _, err := reports.ClientsFormat(path); err != nil {
			return &exitError{exitUsage, err}
		}
		if err := reports.Check(path); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	return nil
}

// announcement reads the datagrams by which license managers look for others.
func announcement(to registry.Port, datagram []byte) (listen.Announcement, bool) {
	if to.Number != 1947 {
		return listen.Announcement{}, false
	}
	s, ok := fingerprint.DecodeLMSearch(datagram)
	return listen.Announcement{Host: s.Host, Created: s.Created}, ok
}

// runListen hears or reads, and reports.
func runListen(ctx context.Context, a *app, o *listenOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	l := &listening{a: a, o: o, table: listen.NewTable(o.limit)}
	var err error
	if l.ear, err = listen.NewEar(listen.Config{Ports: o.ports, Table: l.table, Decode: announcement, Names: !o.noNames}); err != nil {
		return err
	}
	if l.hearing, err = openHearing(ctx, a, o); err != nil {
		return err
	}
	defer l.closeHeard(false) //nolint:errcheck // of an early return: nothing was heard
	if len(o.files) > 0 {
		err = l.readFiles(ctx)
	} else {
		err = l.hear(ctx)
	}
	if e, ok := errors.AsType[*exitError](err); ok && (e.code == exitUsage || e.code == exitPrivilege) {
		return err // nothing was heard
	}
	kept := l.closeHeard(true)
	if kept != nil {
		kept = fmt.Errorf("what was heard is not stored as a whole: %w", kept)
	}
	written := l.writeFiles()
	printed := l.print() // the last: a reader of stdout that is gone can end the program here
	l.summarize()
	if e := errors.Join(kept, written, printed); e != nil {
		return &exitError{exitOutput, e}
	}
	if err == nil && (l.lost > 0 || l.table.Forgotten() > 0) {
		return &exitError{exitIncomplete, nil}
	}
	return err
}

// readFiles reads one file after the other. A file that cannot be understood
// ends the reading.
func (l *listening) readFiles(ctx context.Context) error {
	for _, path := range l.o.files {
		err := l.readFile(ctx, path)
		switch {
		case ctx.Err() != nil:
			return &exitError{exitInterrupted, nil}
		case errors.Is(err, io.ErrUnexpectedEOF): // a capture that was cut off is worth its beginning
			l.a.log.Warn("a file is not complete", "error", err)
			l.lost++
		case err != nil:
			return &exitError{exitUsage, err}
		}
	}
	return nil
}

func (l *listening) readFile(ctx context.Context, path string) error {
	name, in, opts := "stdin", l.a.stdin, listen.FlowOptions{Format: l.o.flowFormat, At: time.Now()}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("--read: %w", err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			opts.At = info.ModTime()
		}
		name, in = path, f
	}
	flows, err := l.ear.Read(ctx, name, in, opts)
	if err == nil && flows.Format != "capture" {
		l.a.log.Info("file read", "file", name, "format", flows.Format, "lines", flows.Lines, "of_these_ports", flows.Taken,
			"others", flows.Other, "ambiguous", flows.Ambiguous, "not_logged", flows.NotLogged)
		l.lost += flows.NotLogged
	}
	return err
}

// writeFiles writes every output file anew.
func (l *listening) writeFiles() error {
	clients := l.clients()
	var errs []error
	for _, path := range l.o.outputs {
		write, err := reports.ClientsFormat(path)
		if err == nil {
			err = reports.WriteFile(path, func(w io.Writer) error { return write(w, clients) })
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// print writes the result to stdout.
func (l *listening) print() error {
	switch clients := l.clients(); {
	case l.o.format == "csv":
		return reports.WriteClientsCSV(l.a.stdout, clients)
	case l.o.format == "jsonl":
		return reports.WriteClientsJSONL(l.a.stdout, clients)
	case l.a.quiet && len(l.o.outputs) > 0:
		return nil
	default:
		return reports.WriteClientsTable(l.a.stdout, clients, width(l.a.stdout))
	}
}

// summarize says what was heard and what was not.
func (l *listening) summarize() {
	if h := l.ear.Heard(); h.Frames > 0 {
		l.a.log.Info("heard", "frames", h.Frames, "told_of_clients", h.Taken, "others", h.Other,
			"ambiguous", h.Ambiguous, "outgoing", h.Outgoing, "nothing_new", h.Stray)
		if h.Unread > 0 {
			l.a.log.Warn("frames could not be read: the capture cut them short, or its link type is not understood", "frames", h.Unread)
			l.lost += h.Unread
		}
	}
	if n := l.table.Forgotten(); n > 0 {
		l.a.log.Warn("incomplete: the memory was full, and the weakest clients were forgotten", "forgotten", n, "limit", l.o.limit)
	}
	if l.lost > 0 {
		l.a.log.Warn("incomplete: not everything could be heard or read", "lost", l.lost)
	}
}
