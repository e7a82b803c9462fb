package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner/listen"
)

// hearing stores what listen hears. The zero value stores nothing.
type hearing struct {
	store    *history.Store
	facts    history.Hearing
	files    bool                     // recordings are read
	recorder *history.HearingRecorder // nil until there is something to store
	failed   error                    // the first; nothing is stored after it
}

// openHearing opens the history for a listener, before anything is heard. It
// returns usage errors. A history of the user's own folder that cannot be
// written is said and left out: nobody asked for it.
func openHearing(ctx context.Context, a *app, o *listenOptions) (*hearing, error) {
	h := &hearing{}
	if o.noHistory {
		return h, nil
	}
	path, err := historyPath(o.db)
	if err == nil {
		h.store, err = history.Open(ctx, path)
	}
	if err == nil {
		vantage, _ := os.Hostname() // a host without a name is a vantage without one
		h.facts = history.Hearing{
			ID: "l_" + uuid.Must(uuid.NewV7()).String(), Site: o.site, Vantage: vantage, Started: time.Now(), Sources: slices.Concat(o.interfaces, o.files),
		}
		h.files = len(o.files) > 0
		return h, nil
	}
	if _, damaged := errors.AsType[*history.DamagedError](err); o.db == "" && !damaged && unwritable(err) {
		a.log.Warn("what is heard is not stored", "why", err)
		return &hearing{}, nil
	}
	return nil, usageError("%w", err)
}

// keepHeard stores what is new. A history that fails does not end the listening;
// the exit code tells.
func (l *listening) keepHeard(ctx context.Context, last bool) {
	h := l.hearing
	if h.store == nil || h.failed != nil {
		return
	}
	if h.recorder == nil {
		if h.recorder, h.failed = h.store.Hear(ctx, h.facts, h.files); h.failed != nil {
			l.sayUnkept(h.failed)
			return
		}
	}
	l.mu.Lock()
	clients, lost, forgotten := l.table.Clients(), l.lost, l.table.Forgotten()
	l.mu.Unlock()
	keep := h.recorder.Keep
	if last {
		keep = h.recorder.Close
	}
	dropped, err := keep(ctx, clients, lost, forgotten)
	if err != nil {
		h.failed = err
		l.sayUnkept(err)
	}
	if dropped > 0 {
		l.a.log.Warn("the history was full: the weakest clients were forgotten", "forgotten", dropped)
	}
}

func (l *listening) sayUnkept(err error) {
	l.a.log.Error("the history failed; the listening goes on, and its files are written", "error", err)
}

// closeHeard ends the hearing and stores the last of it, also when the listening
// was interrupted. The second call does nothing.
func (l *listening) closeHeard(store bool) error {
	if store {
		l.keepHeard(context.Background(), true) // what was heard is stored whatever ended it
	}
	if l.hearing.store == nil {
		return nil
	}
	err := errors.Join(l.hearing.failed, l.hearing.store.Close())
	l.hearing = &hearing{}
	return err
}

// newRunsClients lists who was heard.
func newRunsClients(a *app, db *string) *cobra.Command {
	var format string
	var hearings bool
	var ports portList
	cmd := &cobra.Command{
		Use:   "clients",
		Short: "who was heard using the ports, over all that dormant listen stored",
		Long: `Lists the clients that the history knows: everything that dormant listen heard or
read, one row a client, service and site. firewall impact takes them where no
--clients are given. --hearings lists when and where somebody listened instead.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			s, err := openHistory(cmd.Context(), *db)
			if err != nil {
				return err
			}
			var clients []listen.Client
			var heard []history.Hearing
			if s != nil {
				defer func() { err = errors.Join(err, s.Close()) }()
				if heard, err = s.Hearings(cmd.Context()); err == nil {
					clients, err = knownClients(cmd.Context(), s, nil, ports...)
				}
				if err != nil {
					return &exitError{exitOutput, err}
				}
			}
			if hearings {
				err = writeHearings(a.stdout, heard, format)
			} else {
				err = writeKnown(a, clients, format)
			}
			if err != nil {
				return &exitError{exitOutput, fmt.Errorf("runs clients: %w", err)}
			}
			return nil
		},
	}
	addListFormat(cmd, &format)
	cmd.Flags().BoolVar(&hearings, "hearings", false, "list when and where somebody listened")
	cmd.Flags().Var(&ports, "ports", "only those of some ports: 1947/tcp,5093/udp,3588 (default: all)")
	return cmd
}

// knownClients returns the clients of the history, those of several sites as
// one. sites are those wanted, none for all; a side without a name is any site.
func knownClients(ctx context.Context, s *history.Store, sites []string, ports ...registry.Port) ([]listen.Client, error) {
	known, err := s.Clients(ctx, ports...)
	if err != nil {
		return nil, err
	}
	table := listen.NewTable(max(len(known), 1))
	for _, k := range known {
		if k.Site != "" && len(sites) > 0 && !slices.Contains(sites, k.Site) && !slices.Contains(sites, "") {
			continue
		}
		k.Source = "history: " + k.Source
		if k.Vantage != "" {
			k.Source += " on " + k.Vantage
		}
		table.Add(k.Client)
	}
	return table.Clients(), nil
}

func writeKnown(a *app, clients []listen.Client, format string) error {
	switch format {
	case "csv":
		return reports.WriteClientsCSV(a.stdout, clients)
	case "json":
		return reports.WriteClientsJSON(a.stdout, clients)
	default:
		return reports.WriteClientsTable(a.stdout, clients, width(a.stdout))
	}
}

func writeHearings(w io.Writer, all []history.Hearing, format string) error {
	if format == "json" {
		return writeJSON(w, append([]history.Hearing{}, all...))
	}
	header := []string{"id", "started", "finished", "site", "vantage", "sources", "clients", "lost", "forgotten"}
	var rows [][]string
	for _, h := range all {
		finished := ""
		if !h.Finished.IsZero() {
			finished = h.Finished.Format(time.RFC3339)
		}
		row := []string{h.ID, h.Started.Format(time.RFC3339), finished, h.Site, h.Vantage, strings.Join(h.Sources, " "),
			strconv.FormatUint(h.Clients, 10), strconv.FormatUint(h.Lost, 10), strconv.FormatUint(h.Forgotten, 10)}
		for i := range row {
			if format == "csv" {
				row[i] = reports.Cell(row[i])
			} else {
				row[i] = reports.Line(row[i])
			}
		}
		rows = append(rows, row)
	}
	switch {
	case format == "csv":
		return writeCSV(w, header, rows)
	case len(rows) == 0:
		_, err := fmt.Fprintln(w, "nobody listened yet: dormant listen stores what it hears")
		return err
	default:
		return writeTable(w, header, rows)
	}
}

// clientsLine says below a list of runs what was heard beside them, "" for
// nothing.
func clientsLine(ctx context.Context, s *history.Store) (string, error) {
	known, err := s.Clients(ctx)
	if err != nil || len(known) == 0 {
		return "", err
	}
	services, last := map[string]bool{}, time.Time{}
	for _, k := range known {
		services[fmt.Sprint(k.Site, k.Server, k.Port)] = true
		if k.Stored.After(last) {
			last = k.Stored
		}
	}
	return fmt.Sprintf("beside the runs: %d clients of %d services were heard, last %s; dormant runs clients lists them", len(known), len(services), last.Format(time.RFC3339)), nil
}
