package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

// newExplain says why a finding has its verdict, and what to do next.
func newExplain(a *app) *cobra.Command {
	var db, format string
	var transcript bool
	cmd := &cobra.Command{
		Use:   "explain RUN ADDR:PORT[/tcp|udp]",
		Short: "why a finding has its verdict: evidence, points, what lost and why, what to do next",
		Example: `  dormant explain last 10.1.4.9:1947
  dormant explain last '[2001:db8::5]:5093/udp' --transcript`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			targets, err := explainTargets(args[1])
			if err != nil {
				return err
			}
			return withRun(ctx, db, args[0], func(s *history.Store, r history.Run) error {
				found, err := openPorts(ctx, s, r, targets)
				if err != nil {
					return err
				}
				for i := range found {
					err := writeExplanation(a.stdout, r, &found[i], format, transcript)
					if err != nil {
						return &exitError{exitOutput, fmt.Errorf("explain: %w", err)}
					}
				}
				return nil
			})
		},
	}
	addDBFlag(cmd.Flags(), &db)
	cmd.Flags().Var(oneOf(&format, "text", "json"), "format", "form of the output: text or json")
	cmd.Flags().BoolVar(&transcript, "transcript", false, "print the dialogue byte for byte, too")
	return cmd
}

// explainTargets reads ADDR:PORT; without a transport it means both.
func explainTargets(s string) ([]scanner.Target, error) {
	rest, proto, one := strings.Cut(s, "/")
	ap, err := netip.ParseAddrPort(rest)
	if err != nil || ap.Port() == 0 {
		return nil, usageError("explain %q: want ADDR:PORT, ADDR:PORT/tcp or ADDR:PORT/udp, an IPv6 address in brackets", s)
	}
	protos := []registry.Proto{registry.TCP, registry.UDP}
	if one {
		p, err := registry.ParseProto(proto)
		if err != nil {
			return nil, usageError("explain %q: want tcp or udp behind the slash", s)
		}
		protos = []registry.Proto{p}
	}
	var all []scanner.Target
	for _, p := range protos {
		all = append(all, scanner.Target{Addr: ap.Addr().Unmap(), Port: registry.Port{Number: ap.Port(), Proto: p}})
	}
	return all, nil
}

// openPorts returns those of the targets that were open, and an error that says
// what is known when none was.
func openPorts(ctx context.Context, s *history.Store, r history.Run, targets []scanner.Target) ([]reports.Finding, error) {
	var found []reports.Finding
	asked := false
	for _, t := range targets {
		f, ok, err := s.Finding(ctx, r, t)
		if err != nil {
			return nil, &exitError{exitOutput, err}
		}
		if ok {
			found = append(found, f)
		}
		asked = asked || r.Plan().Contains(t)
	}
	switch {
	case len(found) > 0:
		return found, nil
	case !asked:
		return nil, usageError("%v was not asked in run %s", targets[0], r.ID)
	case !r.Swept():
		return nil, usageError("%v: no answer is stored of it, and run %s did not measure everything", targets[0], r.ID)
	default:
		return nil, usageError("%v was asked in run %s and not open", targets[0], r.ID)
	}
}

func writeExplanation(w io.Writer, r history.Run, f *reports.Finding, format string, transcript bool) error {
	if format == "json" {
		return writeJSON(w, struct {
			Run      string                `json:"run"`
			Target   string                `json:"target"`
			Verdict  *fingerprint.Verdict  `json:"verdict"`
			Evidence *fingerprint.Evidence `json:"evidence,omitempty"`
		}{r.ID, targetOf(f).String(), f.Full, f.Dialogue})
	}
	var b bytes.Buffer
	e := reports.Explain(f)
	head := targetOf(f).String()
	if f.Hostname != "" {
		head += "  " + reports.Line(f.Hostname)
	}
	fmt.Fprintf(&b, "%s\n%s\n\n", head, e.Title)
	fmt.Fprintf(&b, "run %s of %s from %s: %v, %v\n", r.ID, r.Started.Format(time.RFC3339), reports.Line(r.Facts.From()), f.State, f.Reason)
	if f.Full == nil {
		b.WriteString("No dialogue was held with it, so nothing was judged. Scan again without --no-identify.\n")
	} else {
		explainVerdict(&b, f, e)
	}
	if transcript && f.Dialogue != nil {
		b.WriteString("\n")
		if err := fingerprint.WriteTranscript(&b, *f.Dialogue); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// explainVerdict writes the four lines of a finding, then what lost. A stored
// verdict may come from another program's history: nothing of it may steer a
// terminal.
func explainVerdict(b *bytes.Buffer, f *reports.Finding, e reports.Explanation) {
	v := f.Full
	fmt.Fprintf(b, "verdict %v, confidence %d, severity %s\n", v.Class, v.Confidence, reports.Line(f.Severity))
	heading := func(text string) { fmt.Fprintf(b, "\n%s\n", text) }
	item := func(format string, args ...any) { fmt.Fprintf(b, "  - %s\n", visible(fmt.Sprintf(format, args...))) }

	heading("What was seen")
	if f.Dialogue != nil {
		for _, x := range f.Dialogue.Exchanges {
			item("%s at %s: %d bytes sent, %d received, ended by %s", x.Probe, f.Dialogue.Started.Add(x.At).UTC().Format("15:04:05.000"), len(x.Sent), len(x.Received), x.End)
		}
	}
	if f.Evidence != "" {
		item("%s", reports.Line(f.Evidence))
	}
	heading("Why it stands out")
	item("%s", e.Why)
	if own := reports.OwnNote(f); own != "" {
		item("%s", own)
	}
	decided := 0
	for _, s := range v.Signs {
		if s.Decided {
			decided++
			explainSign(item, s)
		}
	}
	if decided == 0 {
		item("no single sign decided: %s", strings.ReplaceAll(v.Reason, "_", " "))
	}
	if e.Else != "" || len(v.Hints) > 0 {
		heading("What else it could be, and what to know")
		if e.Else != "" {
			item("%s", e.Else)
		}
		for _, h := range v.Hints {
			item("%s", h)
		}
	}
	if v.Class != fingerprint.PossibleC2 && !slices.ContainsFunc(v.Hints, func(h string) bool { return strings.Contains(h, "No known C2 sign") }) {
		item("No possible C2 was concluded; that is not the same as clean.")
	}
	explainLost(heading, item, v)
	heading("How to settle it in 5 minutes")
	for _, s := range v.Settle {
		item("%s", s)
	}
	if !slices.ContainsFunc(v.Settle, func(s string) bool { return strings.Contains(s, "ss -l") }) {
		linux := map[registry.Proto]string{registry.TCP: "ss -ltnp", registry.UDP: "ss -lunp"}[f.Transport]
		item("On the host: %s 'sport = :%d' (Linux).", linux, f.Port)
	}
	item("%s", e.Advice)
}

func explainSign(item func(string, ...any), s fingerprint.Sign) {
	text := fmt.Sprintf("%s: %d points, %s, on %s: %s", s.Rule, s.Points, s.Kind, s.Probe, s.Excerpt)
	if s.Source != "" {
		text += " (source: " + s.Source + ")"
	}
	item("%s", text)
}

// explainLost lists the signs that did not decide, with the reason.
func explainLost(heading func(string), item func(string, ...any), v *fingerprint.Verdict) {
	first := true
	for _, s := range v.Signs {
		if s.Decided {
			continue
		}
		if first {
			heading("What lost, and why")
			first = false
		}
		why := s.Lost
		if why == "" {
			why = "weaker than what decided"
		}
		item("%s would say %v (%d points, %s: %s): %s", s.Rule, s.Class, s.Points, s.Probe, s.Excerpt, why)
	}
}

// targetOf is the finding's key.
func targetOf(f *reports.Finding) scanner.Target {
	return scanner.Target{Addr: f.IP, Port: registry.Port{Number: f.Port, Proto: f.Transport}}
}
