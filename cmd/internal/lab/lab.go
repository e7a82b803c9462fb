package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"

	"dormant/registry"
)

// DefaultPrefix is where the hosts live when nothing else is asked for.
const DefaultPrefix = "127.77.0.0/26"

// The ports from which scanners draw those that should be closed: a box that
// accepts there accepts everywhere.
const firstCanary, lastCanary = 20000, 60000

// Config is what a lab is made of. The zero value is refused: Prefix is required.
type Config struct {
	// Prefix holds the hosts: inside 127.0.0.0/8, /26 or wider.
	Prefix netip.Prefix
	// Elsewhere lets Prefix lie outside loopback: for tests that run the lab in
	// a network namespace of their own. The command never sets it.
	Elsewhere bool
	// Everywhere adds a box that accepts connections on every port. It takes
	// 40,001 descriptors, some 120 MB of the kernel's memory, and Linux.
	Everywhere bool
	// Log may be nil.
	Log *slog.Logger
	// Ready, if not nil, is called once from Run, when every host listens that
	// can. It is given the hosts as they are served.
	Ready func([]Host)
}

// Lab is an emulated network. It runs once.
type Lab struct {
	cfg   Config
	hosts []Host
}

// New checks the configuration; it opens nothing.
func New(cfg Config) (*Lab, error) {
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	p := cfg.Prefix
	if !p.IsValid() || p != p.Masked() || !p.Addr().Is4() || !cfg.Elsewhere && (p.Bits() < loopback.Bits() || !loopback.Contains(p.Addr())) {
		return nil, fmt.Errorf("lab: prefix %v: want a network inside 127.0.0.0/8, like %s: the lab never leaves this machine", p, DefaultPrefix)
	}
	if p.Bits() > 26 {
		return nil, fmt.Errorf("lab: prefix %v: want /26 or wider: the hosts have the numbers 10 to %d", p, lastHost)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	stage, err := newStage()
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	l := &Lab{cfg: cfg}
	base := p.Addr().As4()
	for _, n := range hosts(stage, cfg.Everywhere) {
		addr := base
		addr[3] += n.number // the network is masked to at most 26 bits: no carry
		l.hosts = append(l.hosts, Host{Addr: netip.AddrFrom4(addr), Name: n.name, Services: n.services, everywhere: n.everywhere})
	}
	return l, nil
}

// Hosts returns the truth: every host, what it plays, what to expect. What this
// process cannot serve is known to Ready only.
func (l *Lab) Hosts() []Host {
	all := make([]Host, len(l.hosts))
	for i, h := range l.hosts {
		all[i] = h
		all[i].Services = append([]Service{}, h.Services...)
	}
	return all
}

// Run serves until ctx ends, and then returns nil when everything has ended.
// A port below 1024 that this process may not bind is left out, with a
// warning; any other port that cannot be served ends the lab with an error.
func (l *Lab) Run(ctx context.Context) error {
	hosts := l.Hosts()
	servers, err := open(ctx, hosts)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	l.warn(hosts)
	if l.cfg.Ready != nil {
		l.cfg.Ready(hosts)
	}
	var running sync.WaitGroup
	for _, s := range servers {
		running.Go(func() { s.run(ctx) }) // ends by its close, below
	}
	<-ctx.Done()
	for _, s := range servers {
		s.close()
	}
	running.Wait()
	return nil
}

// listener is what Run runs: one open socket, or all of a box.
type listener interface {
	run(ctx context.Context) // until close, and until all connections have ended
	close()
	release() // instead of run: gives back what was opened
}

// open opens all sockets of hosts or none. It notes in hosts what this process
// may not bind.
func open(ctx context.Context, hosts []Host) (opened []listener, err error) {
	defer func() {
		if err != nil {
			for _, s := range opened {
				s.release()
			}
		}
	}()
	for i := range hosts {
		for j := range hosts[i].Services {
			s := &hosts[i].Services[j]
			srv, err := listen(ctx, hosts[i].Addr, s.Port, s.serve)
			if errors.Is(err, syscall.EACCES) && s.Port.Number < 1024 {
				s.Missing = "needs the privilege to bind ports below 1024"
				continue
			}
			if err != nil {
				return opened, err
			}
			opened = append(opened, srv)
		}
		if hosts[i].everywhere {
			box, err := listenEverywhere(hosts[i].Addr, firstCanary, lastCanary)
			if errors.Is(err, syscall.EMFILE) {
				return opened, fmt.Errorf("%w: raise the limit (ulimit -n 41000) or do without", err)
			}
			if err != nil {
				return opened, err
			}
			opened = append(opened, box)
		}
	}
	return opened, nil
}

// warn says in one line what is not served.
func (l *Lab) warn(hosts []Host) {
	missing, count := "", 0
	for _, h := range hosts {
		for _, s := range h.Services {
			if s.Missing != "" {
				missing, count = s.Port.String()+" "+s.Missing, count+1
			}
		}
	}
	if count > 0 {
		l.cfg.Log.Warn("not served", "port", missing, "hosts", count)
	}
}

// listen opens the socket of one service.
func listen(ctx context.Context, addr netip.Addr, port registry.Port, h handler) (*server, error) {
	at := net.JoinHostPort(addr.String(), strconv.Itoa(int(port.Number)))
	var lc net.ListenConfig
	if port.Proto == registry.UDP {
		pc, err := lc.ListenPacket(ctx, "udp4", at)
		if err != nil {
			return nil, err
		}
		return newServer(nil, pc, h), nil
	}
	ln, err := lc.Listen(ctx, "tcp4", at)
	if err != nil {
		return nil, err
	}
	return newServer(ln, nil, h), nil
}
