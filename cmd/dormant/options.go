package main

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"dormant/cmd/internal/portlist"
	"dormant/scanner"
)

// scanOptions are the flags of scan, parsed once. Nothing below this struct
// reads a flag, the environment or a file of settings.
type scanOptions struct {
	targetFiles  []string
	exclude      []string
	excludeFiles []string
	ports        portList
	yes          bool

	rate        rateValue
	hostRate    float64
	retries     uint8
	cooldown    time.Duration
	backend     string
	xdpZeroCopy bool
	iface       string
	source      netip.Addr
	seed        uint64
	seedGiven   bool
	shard       shardValue
	dryRun      bool
	discovery   string
	noDiscover  bool

	noIdentify  bool
	registryDir string
	rulesDir    string

	outputOptions
	progress string
	site     string
	vantage  string
	ticket   string
	audit    auditOptions

	talk    talkOptions
	control controlOptions
	// created is when the run began, in an earlier process if it was resumed; the
	// zero Time is now.
	created time.Time
}

func (o *scanOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.ports = defaultPorts()
	o.rate = 1000
	o.shard = shardValue{Index: 1, Count: 1}

	flags.StringArrayVar(&o.targetFiles, "targets", nil, "read targets from `FILE`, one a line, # starts a comment, - is stdin (repeatable)")
	flags.StringArrayVar(&o.exclude, "exclude", nil, "never send to `TARGET`, of any form that a target can have (repeatable)")
	flags.StringArrayVar(&o.excludeFiles, "exclude-file", nil, "read exclusions from `FILE` (repeatable; "+neverScanFile+" is always read)")
	flags.Var(&o.ports, "ports", "`PORTS` to ask: 1947/tcp,5093/udp,3588,8000-8100/tcp (without /tcp or /udp it is both)")
	flags.BoolVar(&o.yes, "yes", false, "go ahead beyond a /12 and with public addresses")

	flags.Var(&o.rate, "rate", "probes a second in total, or max")
	flags.Float64Var(&o.hostRate, "host-rate", 20, "`N` probes a second to one host")
	flags.Uint8Var(&o.retries, "retries", 2, "up to `N` probes again to targets that did not answer")
	flags.DurationVar(&o.cooldown, "cooldown", 0, "wait so long a `TIME` for late answers (default 0: measured, at most 8s)")
	flags.Var(oneOf(&o.backend, backendNames()...), "backend", "how to send")
	flags.BoolVar(&o.xdpZeroCopy, "xdp-zerocopy", false, "afxdp: let the network card read this process's memory; few drivers can, some restart the card for it")
	flags.StringVar(&o.iface, "interface", "", "send by this `INTERFACE` only")
	addSourceFlag(flags, &o.source)
	flags.Uint64Var(&o.seed, "seed", 0, "number `N` that gives the order of the probes and the choice of the canary ports (default: random, of a shard by targets and ports; printed)")
	flags.Var(&o.shard, "shard", "do part i of n of the plan; all parts want the same targets, exclusions, ports and seed")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be sent and how long it takes; send nothing, write nothing")
	addDiscoveryFlag(flags, &o.discovery)
	flags.BoolVar(&o.noDiscover, "no-discovery", false, "send an empty datagram to udp 1947 instead of the search datagram")

	flags.BoolVar(&o.noIdentify, "no-identify", false, "sweep only, no dialogue with what answers")
	addRegistryFlag(cmd, &o.registryDir)
	flags.StringVar(&o.rulesDir, "rules", "", "read fingerprint rules of your own from `DIR`")

	o.outputOptions.addFlags(flags)
	flags.Var(oneOf(&o.progress, "auto", "always", "never"), "progress", "progress line on stderr")
	flags.StringVar(&o.site, "site", "", "`NAME` of the site, for the reports")
	flags.StringVar(&o.vantage, "vantage", "", "`NAME` of the place scanned from (default: the host's name)")
	o.talk.addFlags(flags)
	o.control.addFlags(flags)
	flags.StringVar(&o.ticket, "ticket", "", "change `TICKET`, for the reports")
	o.audit.addFlags(flags)
}

// defaultPorts are the six dormant ports and their living relatives, tcp and
// udp each.
func defaultPorts() portList { return portlist.Default() }

// rateValue is a flag value: probes a second, or "max".
type rateValue rate.Limit

func (r *rateValue) Type() string { return "N|max" }

func (r *rateValue) String() string {
	if rate.Limit(*r) == rate.Inf {
		return "max"
	}
	return strconv.FormatFloat(float64(*r), 'f', -1, 64)
}

func (r *rateValue) Set(s string) error {
	if s == "max" {
		*r = rateValue(rate.Inf)
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return errors.New("want a whole number of probes a second from 1 to 4294967295, or max")
	}
	*r = rateValue(n)
	return nil
}

// shardValue is a flag value: "2/8" is the second of eight parts.
type shardValue struct{ Index, Count uint64 }

func (v *shardValue) Type() string { return "i/n" }

func (v *shardValue) String() string {
	if v.Count <= 1 {
		return ""
	}
	return fmt.Sprintf("%d/%d", v.Index, v.Count)
}

func (v *shardValue) Set(s string) error {
	i, n, ok := strings.Cut(s, "/")
	index, err1 := strconv.ParseUint(i, 10, 16)
	count, err2 := strconv.ParseUint(n, 10, 16)
	if !ok || err1 != nil || err2 != nil || index < 1 || index > count {
		return errors.New("want i/n with 1 ≤ i ≤ n, like 2/8")
	}
	*v = shardValue{index, count}
	return nil
}

// check finds what no single flag can know. It returns usage errors.
func (o *scanOptions) check() error {
	switch {
	case math.IsNaN(o.hostRate) || o.hostRate < 0.1 || o.hostRate > 1e6:
		return usageError("--host-rate %v: want 0.1 to 1000000 probes a second", o.hostRate)
	case o.retries > scanner.MaxRetries:
		return usageError("--retries %d: want 0 to %d", o.retries, scanner.MaxRetries)
	case o.audit.dueEvery < 0:
		return usageError("--due-every %v: want 0s or more", o.audit.dueEvery)
	case o.cooldown < 0 || o.cooldown > time.Hour:
		return usageError("--cooldown %v: want 0s to 1h", o.cooldown)
	}
	if o.audit.noHistory {
		if err := o.withoutHistory(); err != nil {
			return err
		}
	}
	return o.control.check()
}
