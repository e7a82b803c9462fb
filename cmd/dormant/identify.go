package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/connect"
)

// identifyOptions are the flags of identify.
type identifyOptions struct {
	common      scanOptions // those that scan has too, under the same names
	format      string
	silence     string
	connections uint8
	noCanaries  bool
	repeatAfter time.Duration
	opener      string
}

// newIdentify talks to known ports and prints every byte.
func newIdentify(a *app) *cobra.Command {
	var o identifyOptions
	cmd := &cobra.Command{
		Use:   "identify ADDR:PORT[/tcp|udp]…",
		Short: "talk to known ports and show every byte, the verdict and its evidence",
		Long: `identify holds the dialogue of a scan with the given ports, and no other, and
prints it byte for byte, escaped, with the time of every step: > is what was
sent, < what came. Then it prints the verdict with all that speaks for it.

An address is numeric, IPv6 in brackets; a port without transport is TCP.
Connections to two random high ports of each host tell a host that accepts
everything; --no-canaries leaves them out.`,
		Example: `  dormant identify 10.0.0.5:1947
  dormant identify 10.0.0.5:3588 [2001:db8::5]:3712 10.0.0.6:5093/udp --format json
  dormant identify 10.0.0.7:123/udp --opener ntp_client`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.common.seedGiven = cmd.Flags().Changed("seed")
			if o.common.talk.deep && !cmd.Flags().Changed("connections") {
				o.connections = uint8(o.common.talk.connections())
			}
			err := idle(cmd.Flags(), pair{"discovery-name", "no-discovery", []string{"true"}}, pair{"seed", "no-canaries", []string{"true"}})
			if err != nil {
				return err
			}
			return runIdentify(cmd.Context(), a, &o, args)
		},
	}
	flags := cmd.Flags()
	flags.Var(oneOf(&o.format, "table", "json"), "format", "form of the output: table or json")
	flags.Var(oneOf(&o.silence, "normal", "fast", "thorough"), "silence", "how long to listen before anything is said: normal (3s), fast (1.5s) or thorough (6s)")
	o.common.talk.addFlags(flags)
	flags.Uint8Var(&o.connections, "connections", 3, "`N` connections to one port at most, 1 to 5 (with --deep 5)")
	flags.BoolVar(&o.noCanaries, "no-canaries", false, "no connections to random ports of the host")
	flags.DurationVar(&o.repeatAfter, "repeat-after", time.Minute, "ask again after this `TIME` what looked like command and control, 0 for never")
	flags.StringVar(&o.opener, "opener", "", "send the datagram of this opener `ID` to UDP ports")
	flags.BoolVar(&o.common.yes, "yes", false, "go ahead with public addresses")
	flags.StringVar(&o.common.iface, "interface", "", "send by this `INTERFACE` only")
	addSourceFlag(flags, &o.common.source)
	flags.Uint64Var(&o.common.seed, "seed", 0, "number `N` that gives the choice of the canary ports (default: random)")
	addDiscoveryFlag(flags, &o.common.discovery)
	flags.BoolVar(&o.common.noDiscover, "no-discovery", false, "send an empty datagram to udp 1947 instead of the search datagram")
	flags.StringVar(&o.common.rulesDir, "rules", "", "read fingerprint rules of your own from `DIR`")
	addRegistryFlag(cmd, &o.common.registryDir)
	return cmd
}

// identified is what identify found out about one port.
type identified struct {
	Target   string                `json:"target"`
	State    scanner.State         `json:"state"`
	Reason   scanner.Reason        `json:"reason,omitempty"`
	Verdict  *fingerprint.Verdict  `json:"verdict,omitempty"` // nil: the port is not open
	Evidence *fingerprint.Evidence `json:"evidence,omitempty"`
	Error    string                `json:"error,omitempty"` // a fault of this side
}

// identify is one run of the command.
type identify struct {
	o        *identifyOptions
	rules    *fingerprint.Rules
	registry *registry.Registry
	talker   *fingerprint.Identifier
}

// atOnce is how many dialogues run at a time; with one host only one does.
const atOnce = 64

func runIdentify(ctx context.Context, a *app, o *identifyOptions, args []string) error {
	targets, err := parseEndpoints(args)
	if err != nil {
		return err
	}
	if err := checkEndpoints(ctx, a, o, targets); err != nil {
		return err
	}
	r, err := newRun(o)
	if err != nil {
		return err
	}
	results := make([]chan identified, len(targets))
	for n := range targets {
		results[n] = make(chan identified, 1)
	}
	talking, stop := context.WithCancel(ctx)
	var talks errgroup.Group
	talks.SetLimit(atOnce)
	talks.Go(func() error { // ends when the last dialogue has begun; stop ends them all
		for n, t := range targets {
			talks.Go(func() error {
				results[n] <- r.identify(talking, t)
				return nil
			})
		}
		return nil
	})
	err = r.print(ctx, a.stdout, results)
	stop()
	_ = talks.Wait() // no dialogue returns one
	return err
}

// newRun checks the flags and reads the rules and dossiers.
func newRun(o *identifyOptions) (*identify, error) {
	switch {
	case o.connections < 1 || o.connections > 5:
		return nil, usageError("--connections %d: want 1 to 5", o.connections)
	case o.repeatAfter < 0 || o.repeatAfter > time.Hour:
		return nil, usageError("--repeat-after %v: want 0s to 1h", o.repeatAfter)
	}
	r := &identify{o: o}
	var err error
	if r.registry, err = loadRegistry(o.common.registryDir); err != nil {
		return nil, err
	}
	if r.rules, err = loadRules(&o.common); err != nil {
		return nil, err
	}
	if op, ok := r.rules.Opener(o.opener); o.opener != "" && (!ok || op.Transport != registry.UDP) {
		return nil, usageError("--opener %q: want the id of a UDP opener: %s", o.opener, orList(udpOpeners(r.rules)))
	}
	if !o.common.seedGiven {
		o.common.seed = randomSeed()
	}
	repeat := o.repeatAfter
	if repeat == 0 {
		repeat = -1
	}
	r.talker = fingerprint.NewIdentifier(r.rules, fingerprint.Config{
		Dialer:      dialer(o.common.source, o.common.iface),
		Silence:     map[string]time.Duration{"fast": fingerprint.SilenceFast, "thorough": fingerprint.SilenceThorough}[o.silence],
		Connections: int(o.connections),
		Deep:        o.common.talk.deep,
		NoCanaries:  o.noCanaries,
		RepeatAfter: repeat,
		Payload:     r.payload,
		UserAgent:   userAgent(),
		Seed:        o.common.seed,
	})
	return r, nil
}

func udpOpeners(rules *fingerprint.Rules) []string {
	var ids []string
	for _, op := range rules.Openers() {
		if op.Transport == registry.UDP {
			ids = append(ids, op.ID)
		}
	}
	return ids
}

// payload is the datagram for a UDP port.
func (r *identify) payload(p registry.Port) []byte {
	if op, ok := r.rules.Opener(r.o.opener); ok {
		return op.Send
	}
	return r.rules.Payload(p)
}

// identify asks one port and judges its answer.
func (r *identify) identify(ctx context.Context, t scanner.Target) identified {
	out := identified{Target: t.String()}
	o := scanner.Observation{Target: t, State: scanner.Open, Reason: scanner.SynAck, From: t.Addr, At: time.Now()}
	if t.Port.Proto == registry.UDP {
		var err error
		if o, err = r.ask(ctx, t); err != nil {
			out.State, out.Reason, out.Error = scanner.Unknown, scanner.LocalError, err.Error()
			return out
		}
	}
	if o.State == scanner.Open {
		ev, err := r.talker.Identify(ctx, o)
		if err != nil {
			out.Error = err.Error()
		}
		if t.Port.Proto == registry.TCP {
			o = heard(o, ev)
		} else if r.o.opener != "" {
			ev.Exchanges[0].Probe = r.o.opener
		}
		out.Evidence = &ev
		entry, _ := r.registry.Lookup(t.Port)
		if v := r.rules.Judge(entry, o, ev); v.Class != 0 {
			out.Verdict = &v
		}
	}
	out.State, out.Reason = o.State, o.Reason
	return out
}

// heard is the observation of a TCP port as its dialogue made it.
func heard(o scanner.Observation, ev fingerprint.Evidence) scanner.Observation {
	switch ev.Status {
	case fingerprint.StatusRefused:
		o.State, o.Reason = scanner.Closed, scanner.Rst
	case fingerprint.StatusNoConnect:
		o.State, o.Reason, o.From = scanner.Filtered, scanner.NoResponse, netip.Addr{}
		if connect.NoNeighbour(o.Addr) {
			o.State, o.Reason = scanner.Unreachable, scanner.ARPNoReply
		}
	case fingerprint.StatusLocalError:
		o.State, o.Reason, o.From = scanner.Unknown, scanner.LocalError, netip.Addr{}
	case fingerprint.StatusDone, fingerprint.StatusBudget, fingerprint.StatusCancelled:
		if len(ev.Exchanges) == 0 { // cancelled before the first connection
			o.State, o.Reason, o.From = scanner.Unknown, 0, netip.Addr{}
			break
		}
		o.At, o.RTT = ev.Started, ev.Exchanges[0].Connect
	}
	return o
}

// ask sends the datagram of a UDP port, three times at most, and waits for the
// answer. A silent port is an observation, too.
func (r *identify) ask(ctx context.Context, t scanner.Target) (scanner.Observation, error) {
	const tries = 3
	for attempt := range uint8(tries) {
		o, err := r.once(ctx, scanner.Probe{Target: t, Payload: r.payload(t.Port), Attempt: attempt})
		if o.State != 0 || err != nil {
			return o, err
		}
	}
	return scanner.Observation{Target: t, State: scanner.OpenFiltered, Reason: scanner.NoResponse, At: time.Now()}, ctx.Err()
}

// once sends one datagram by a connected socket and waits for two seconds. The
// zero Observation is silence.
func (r *identify) once(ctx context.Context, p scanner.Probe) (o scanner.Observation, err error) {
	const patience = 2 * time.Second
	b, err := connect.New(connect.Config{Source: r.o.common.source, Interface: r.o.common.iface, Timeout: patience})
	if err != nil {
		return o, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var hearing errgroup.Group
	hearing.Go(func() error { // ends with the answer, or when the patience is over
		return b.Receive(ctx, func(answer scanner.Observation) {
			o = answer
			cancel()
		})
	})
	_, sent := b.Send(ctx, []scanner.Probe{p})
	if err := hearing.Wait(); err != nil {
		return o, err
	}
	switch {
	case o.Reason == scanner.LocalError:
		return o, fmt.Errorf("a datagram could not be sent; %s", strings.Join(b.Faults(), "; "))
	case sent != nil && ctx.Err() == nil:
		return o, sent
	default:
		return o, nil
	}
}

// print writes the results in the order of the arguments as they come, and
// returns the exit code's error.
func (r *identify) print(ctx context.Context, w io.Writer, results []chan identified) error {
	var all []identified
	var err error
	unknown := false
	for n, c := range results {
		one := <-c
		unknown = unknown || one.State == scanner.Unknown
		if r.o.format == "json" {
			all = append(all, one)
		} else if err = writeIdentified(w, one, n > 0); err != nil {
			break
		}
	}
	if r.o.format == "json" {
		err = writeJSON(w, all)
	}
	switch {
	case err != nil:
		return faultOf("identify", err)
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, nil}
	case unknown:
		return &exitError{exitIncomplete, nil}
	}
	return nil
}
