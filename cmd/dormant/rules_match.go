package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

// matchOptions say how the bytes of a file came.
type matchOptions struct {
	probe, port, sent, format string
	inside                    bool
}

func newRulesMatch(a *app, dir *string) *cobra.Command {
	var o matchOptions
	cmd := &cobra.Command{
		Use:   "match FILE",
		Short: "try the rules on an answer: raw bytes, or evidence in JSON",
		Long: `FILE (- is stdin) holds what a port answered, as bytes, or the evidence of a whole
dialogue as JSON. The signs that were seen are printed, and the verdict that follows
from them. Nothing is sent.`,
		Example: `  printf 'HTTP/1.0 403 Forbidden\r\nServer: HASP LM/25.02\r\n\r\n' | dormant rules match -
  dormant rules match answer.bin --probe udp --port 5093/udp --sent 72fe1d130000…`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			rules, err := rulesOf(*dir)
			if err != nil {
				return err
			}
			obs, ev, err := o.evidence(a, rules, args[0])
			if err != nil {
				return err
			}
			return faultOf("rules", writeMatch(a.stdout, rules.Judge(registry.Entry{}, obs, ev), o.format))
		},
	}
	cmd.Flags().Var(oneOf(&o.format, "table", "json"), "format", "form of the output: table or json")
	cmd.Flags().StringVar(&o.probe, "probe", fingerprint.ProbeGet10, "what was asked: silence, get10, get11, get404, tls, udp or the `ID` of an opener")
	cmd.Flags().StringVar(&o.port, "port", "3588/tcp", "the `PORT` that answered")
	cmd.Flags().StringVar(&o.sent, "sent", "", "what was sent, in `HEX`; the default is what the probe sends")
	cmd.Flags().BoolVar(&o.inside, "inside-tls", false, "the answer came inside TLS")
	return cmd
}

// maxAnswer bounds the file, in bytes; a dialogue as JSON is the longest.
const maxAnswer = 4 << 20

// evidence reads FILE: JSON when it begins like an object that has exchanges,
// else the bytes of one answer.
func (o matchOptions) evidence(a *app, rules *fingerprint.Rules, name string) (scanner.Observation, fingerprint.Evidence, error) {
	var obs scanner.Observation
	var ev fingerprint.Evidence
	data, err := readAnswer(a, name)
	if err != nil {
		return obs, ev, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) && json.Unmarshal(data, &ev) == nil && len(ev.Exchanges) > 0 {
		obs.Target = ev.Target
	} else {
		if ev, err = o.exchange(rules, data); err != nil {
			return obs, ev, err
		}
		obs.Target = ev.Target
	}
	obs.State, obs.Reason = scanner.Open, scanner.SynAck
	if obs.Port.Proto == registry.UDP {
		obs.Reason = scanner.UDPReply
	}
	return obs, ev, nil
}

func readAnswer(a *app, name string) (data []byte, err error) {
	if name == "-" {
		data, err = io.ReadAll(io.LimitReader(a.stdin, maxAnswer+1))
	} else {
		data, err = readWhole(name, maxAnswer)
	}
	if err != nil {
		return nil, usageError("rules match: %w", err)
	}
	if len(data) == 0 || len(data) > maxAnswer {
		return nil, usageError("rules match %s: %d bytes: want 1 to %d", name, len(data), maxAnswer)
	}
	return data, nil
}

// exchange is one answer as a dialogue would have stored it.
func (o matchOptions) exchange(rules *fingerprint.Rules, data []byte) (fingerprint.Evidence, error) {
	var ev fingerprint.Evidence
	port, err := registry.ParsePort(o.port)
	if err != nil {
		return ev, usageError("--port: %w", err)
	}
	sent, err := o.request(rules, port)
	if err != nil {
		return ev, err
	}
	ev.Target = scanner.Target{Addr: netip.IPv4Unspecified(), Port: port}
	ev.Status = fingerprint.StatusDone
	ev.Exchanges = []fingerprint.Exchange{{
		Conn: 1, Probe: o.probe, Inside: o.inside, Sent: sent, Received: data, End: fingerprint.EndFin, FirstByte: 1,
	}}
	if port.Proto == registry.UDP {
		ev.Exchanges[0].Conn, ev.Exchanges[0].End = 0, fingerprint.EndReply
	}
	return ev, nil
}

// request is what --sent says, else what the probe is known to send.
func (o matchOptions) request(rules *fingerprint.Rules, port registry.Port) ([]byte, error) {
	if o.sent != "" {
		sent, err := hex.DecodeString(strings.ReplaceAll(o.sent, " ", ""))
		if err != nil {
			return nil, usageError("--sent %q: want pairs of hex digits", o.sent)
		}
		return sent, nil
	}
	switch o.probe {
	case fingerprint.ProbeGet10:
		return []byte("GET / HTTP/1.0\r\n\r\n"), nil
	case fingerprint.ProbeUDP:
		return rules.Payload(port), nil
	case fingerprint.ProbeSilence, fingerprint.ProbeGet11, fingerprint.ProbeGet404, fingerprint.ProbeTLS:
		return nil, nil
	}
	if op, ok := rules.Opener(o.probe); ok {
		return op.Send, nil
	}
	return nil, usageError("--probe %q: want silence, get10, get11, get404, tls, udp or the id of an opener", o.probe)
}

func writeMatch(w io.Writer, v fingerprint.Verdict, format string) error {
	if format == "json" {
		return writeJSON(w, v)
	}
	if _, err := fmt.Fprintln(w, verdictLine(v)); err != nil {
		return err
	}
	var rows [][]string
	for _, s := range v.Signs {
		mark := ""
		if s.Decided {
			mark = "decided"
		}
		rows = append(rows, []string{s.Rule, s.Class.String(), string(s.Kind), strconv.Itoa(s.Points), mark + s.Lost, s.Excerpt})
	}
	if len(rows) > 0 {
		if err := writeTable(w, []string{"sign", "for", "kind", "points", "", "seen"}, rows); err != nil {
			return err
		}
	}
	for _, line := range append(append([]string{}, v.Hints...), v.Settle...) {
		if _, err := fmt.Fprintln(w, "-", line); err != nil {
			return err
		}
	}
	return nil
}

// verdictLine is the verdict in one line: class, reason, confidence, name.
func verdictLine(v fingerprint.Verdict) string {
	line := v.Class.String()
	if v.Reason != "" {
		line += "/" + v.Reason
	}
	line += fmt.Sprintf(" %d%% %s", v.Confidence, v.Service)
	if name := strings.TrimSpace(v.Product + " " + v.Version); name != "" {
		line += ": " + name
	}
	if len(v.Flags) > 0 {
		line += " [" + strings.Join(v.Flags, " ") + "]"
	}
	return line
}
