package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/time/rate"

	"dormant/cmd/internal/agent"
	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/enroll"
	"dormant/cmd/internal/fleet"
)

// agentOptions are the flags of agent, parsed once.
type agentOptions struct {
	servers    []string
	credential string
	// In a cluster of the user's own.
	agent, site, creds, nkey, ca, cert, key string

	vantages  vantageList
	neverScan []string
	fragile   []string
	rate      rateValue
	hostRate  float64
	window    windowValue
	yes       bool
	grace     time.Duration
	state     string
	spoolSize sizeValue

	backend     string
	stateBudget uint64
	rulesDir    string
	discovery   string
	noDiscover  bool
}

func (o *agentOptions) addFlags(flags *pflag.FlagSet) {
	o.rate, o.spoolSize = rateValue(rate.Inf), agent.DefaultSpoolSize
	flags.StringArrayVar(&o.servers, "server", nil, "`HOST:PORT` of the server, or the URL of your own NATS cluster (repeatable; default what the credential says)")
	addCredentialFlag(flags, &o.credential)
	flags.StringVar(&o.agent, "agent", "", "in a cluster of your own: the `NAME` of this agent")
	flags.StringVar(&o.site, "site", "", "in a cluster of your own: the `NAME` of the site")
	flags.StringVar(&o.creds, "creds", "", "in a cluster of your own: `FILE` with the user's JWT and seed")
	flags.StringVar(&o.nkey, "nkey", "", "in a cluster of your own: `FILE` with the user's seed")
	flags.StringVar(&o.ca, "ca", "", "in a cluster of your own: `FILE` with the certificates of its authority")
	flags.StringVar(&o.cert, "cert", "", "in a cluster of your own: `FILE` with this agent's certificate")
	flags.StringVar(&o.key, "key", "", "in a cluster of your own: `FILE` with the key to it")

	flags.Var(&o.vantages, "vantage", "work for the vantage `NAME`, or NAME=INTERFACE or NAME=ADDRESS to send from there (repeatable; default all of the credential)")
	flags.StringArrayVar(&o.neverScan, "never-scan", nil, "never send to what `FILE` names, in any form that a target can have (repeatable; "+neverScanFile+" is always read)")
	flags.StringArrayVar(&o.fragile, "fragile", nil, "hold no dialogue with the hosts in `FILE` (repeatable; "+fragileFile+" is always read)")
	flags.Var(&o.rate, "rate", "at most so many probes a second, all vantages together, whatever the server asks")
	flags.Float64Var(&o.hostRate, "host-rate", 0, "at most `N` probes a second to one host, whatever the server asks (default: no bound of its own)")
	flags.Var(&o.window, "window", "work only at this time of day, like 22:00-05:00")
	flags.BoolVar(&o.yes, "yes", false, "let the server ask for public addresses and for more than a /12")
	flags.DurationVar(&o.grace, "grace", agent.DefaultGrace, "told to end, finish within this `TIME` or give the work back")
	flags.StringVar(&o.state, "state", "", "state `FOLDER` of the agent (default dormant/agent in the user's state folder)")
	flags.Var(&o.spoolSize, "spool-size", "at most so much disk for results while the server is away")

	flags.Var(oneOf(&o.backend, backendNames()...), "backend", "how to send")
	flags.Uint64Var(&o.stateBudget, "state-budget", 0, "let no path hold more than `N` half-open connections (default: no bound)")
	flags.StringVar(&o.rulesDir, "rules", "", "read fingerprint rules of your own from `DIR`, for the questions that they ask; the server judges by its own")
	addDiscoveryFlag(flags, &o.discovery)
	flags.BoolVar(&o.noDiscover, "no-discovery", false, "send an empty datagram to udp 1947 instead of the search datagram")
}

// check finds what no single flag can know. It returns usage errors.
func (o *agentOptions) check() error {
	switch {
	case o.hostRate != 0 && (o.hostRate < 0.1 || o.hostRate > 1e6):
		return usageError("--host-rate %v: want 0.1 to 1000000 probes a second", o.hostRate)
	case o.grace <= 0 || o.grace > time.Hour:
		return usageError("--grace %v: want more than 0s, at most 1h", o.grace)
	}
	if least := sizeValue(agent.MinSpoolSize * max(1, len(o.vantages))); o.spoolSize < least {
		return usageError("--spool-size %s: want at least %s, %s for each vantage", &o.spoolSize, &least, new(sizeValue(agent.MinSpoolSize)))
	}
	own := []struct{ name, value string }{
		{"--creds", o.creds}, {"--nkey", o.nkey}, {"--ca", o.ca}, {"--cert", o.cert}, {"--key", o.key},
	}
	for _, f := range own {
		if o.agent == "" && f.value != "" {
			return usageError("%s: it is for a cluster of your own: want --agent, too", f.name)
		}
	}
	if o.agent == "" {
		return nil
	}
	if err := fleet.CheckName("agent", o.agent); err != nil {
		return usageError("--agent: %w", err)
	}
	switch {
	case o.credential != "":
		return usageError("--agent: the credential in --credential says who the agent is: want one of the two")
	case o.site == "" || len(o.vantages) == 0 || len(o.servers) == 0:
		return usageError("--agent: want --site, --vantage and --server, too")
	case (o.cert == "") != (o.key == ""):
		return usageError("--cert and --key: want both or none")
	}
	return nil
}

// agentIdentity is who the agent is, and how it connects.
type agentIdentity struct {
	Agent, Site string
	Vantages    []string
	options     broker.Options
	own         *enroll.Credential // nil in a cluster of the user's own
}

// identity is that of the flags, or of the credential. It returns usage errors.
func (o *agentOptions) identity() (*agentIdentity, error) {
	if o.agent != "" {
		return &agentIdentity{
			Agent: o.agent, Site: o.site, Vantages: o.vantages.names(),
			options: broker.Options{
				URLs: o.servers, Name: "agent " + o.agent, Creds: o.creds, NKey: o.nkey,
				CA: o.ca, Cert: o.cert, Key: o.key, Inbox: fleet.Inbox(o.agent),
			},
		}, nil
	}
	dir, err := credentialDir(o.credential)
	if err != nil {
		return nil, usageError("--credential: %w", err)
	}
	c, err := enroll.Load(dir)
	if err != nil {
		return nil, usageError("%w", err)
	}
	if o.site != "" && o.site != c.Site {
		return nil, usageError("--site %q: the credential is for %s", o.site, c.Site)
	}
	who := &agentIdentity{Agent: c.Agent, Site: c.Site, Vantages: c.Vantages, options: c.Options(), own: c}
	if len(o.vantages) > 0 {
		who.Vantages = o.vantages.names()
	}
	for _, name := range who.Vantages {
		if !slices.Contains(c.Vantages, name) {
			return nil, usageError("--vantage %q: the credential is for %s", name, orList(c.Vantages))
		}
	}
	if len(o.servers) == 0 {
		return who, nil
	}
	who.options.URLs = nil
	for _, s := range o.servers {
		host, port, err := net.SplitHostPort(strings.TrimPrefix(s, "tls://"))
		if err != nil || host == "" || port == "" {
			return nil, usageError("--server %q: want HOST:PORT, or --agent and the URL of a cluster of your own", s)
		}
		who.options.URLs = append(who.options.URLs, "tls://"+net.JoinHostPort(host, port))
	}
	return who, nil
}

// vantageValue is one vantage, and where it sends from.
type vantageValue struct {
	name, iface string
	source      netip.Addr
}

func (v vantageValue) String() string {
	switch {
	case v.iface != "":
		return v.name + "=" + v.iface
	case v.source.IsValid():
		return v.name + "=" + v.source.String()
	default:
		return v.name
	}
}

// vantageList is a flag value: vantages, each given once.
type vantageList []vantageValue

var _ pflag.SliceValue = (*vantageList)(nil)

func (l *vantageList) Type() string { return "NAME[=INTERFACE|ADDRESS]" }

func (l *vantageList) String() string { return strings.Join(l.GetSlice(), ",") }

// Set adds one, or several with commas between them.
func (l *vantageList) Set(s string) error {
	for one := range strings.SplitSeq(s, ",") {
		v, err := parseVantage(one)
		if err != nil {
			return err
		}
		if slices.Contains(l.names(), v.name) {
			return fmt.Errorf("vantage %q stands twice", v.name)
		}
		*l = append(*l, v)
	}
	return nil
}

func parseVantage(s string) (v vantageValue, err error) {
	name, from, given := strings.Cut(s, "=")
	if err := fleet.CheckName("vantage", name); err != nil {
		return v, err
	}
	if given && from == "" {
		return v, fmt.Errorf("vantage %q: want an interface or an address behind the =", name)
	}
	v.name = name
	if v.source, err = netip.ParseAddr(from); err != nil {
		v.iface = from
	}
	return v, nil
}

// Append adds one.
func (l *vantageList) Append(s string) error { return l.Set(s) }

// Replace takes the place of what is there.
func (l *vantageList) Replace(all []string) error {
	*l = nil
	for _, s := range all {
		if err := l.Set(s); err != nil {
			return err
		}
	}
	return nil
}

// GetSlice returns them as they are written.
func (l *vantageList) GetSlice() (all []string) {
	for _, v := range *l {
		all = append(all, v.String())
	}
	return all
}

func (l *vantageList) names() (all []string) {
	for _, v := range *l {
		all = append(all, v.name)
	}
	return all
}

// of returns the vantage of that name; one that was not given leaves the way to
// the routes.
func (l *vantageList) of(name string) vantageValue {
	for _, v := range *l {
		if v.name == name {
			return v
		}
	}
	return vantageValue{name: name}
}

// sizeValue is a flag value: bytes, as 500MB, 2GB or a plain number.
type sizeValue int64

func (v *sizeValue) Type() string { return "SIZE" }

// sizeUnits are the powers of 1024, the largest first.
func sizeUnits() []struct {
	name  string
	bytes int64
} {
	return []struct {
		name  string
		bytes int64
	}{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}}
}

func (v *sizeValue) String() string {
	for _, u := range sizeUnits() {
		if *v != 0 && int64(*v)%u.bytes == 0 {
			return strconv.FormatInt(int64(*v)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*v), 10)
}

func (v *sizeValue) Set(s string) error {
	digits, unit := s, int64(1)
	for _, u := range sizeUnits() {
		if rest, ok := strings.CutSuffix(strings.ToUpper(s), u.name); ok {
			digits, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return errors.New("want a size like 500MB or 2GB")
	}
	*v = sizeValue(n * unit)
	return nil
}
