package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"dormant/scanner"
)

// DefaultTimeout is how long the first try waits for its answer: below the
// kernel's initial retransmission timeout of 1 s, see the package's Design.
const DefaultTimeout = 900 * time.Millisecond

const (
	maxInFlight   = 8192            // tries at once, if descriptors allow; about 40 MB of stacks
	maxPatience   = 4               // × Timeout: the longest that a retry waits
	localPatience = 5 * time.Second // for a descriptor, a buffer or a source port to come free
	maxDatagram   = 256             // bytes; what the project sends to anybody at most

	farewell    = 250 * time.Millisecond // beyond one round trip: for the server's FIN after ours
	maxFarewell = 64 << 10               // bytes heard meanwhile and thrown away
)

// ErrEnded is what Send returns once Receive has returned.
var ErrEnded = errors.New("connect: receive has ended")

// Config is how a Backend asks. The zero value is good.
type Config struct {
	// Source is the address to send from, one of this host's; the zero Addr lets
	// the kernel choose. A target of the other address family is a local-error.
	Source netip.Addr
	// Interface is the name of the only interface to send by (Linux); "" lets the
	// routes decide. A target to which it has no route is a local-error. Addresses
	// of this host are asked through loopback in any case.
	Interface string
	// Timeout is how long the first try waits; the n-th retry waits n times
	// longer in addition. 0 means DefaultTimeout.
	Timeout time.Duration
	// InFlight is the largest number of tries at once, each of which holds a
	// descriptor. 0 means three quarters of the process's limit, at most 8192;
	// more than three quarters is cut to it.
	InFlight int
	// Log hears each kind of local fault once; nil discards.
	Log *slog.Logger
}

// Backend is a scanner.Backend over ordinary sockets. Its methods may be
// called as scanner.Backend says; Receive only once.
type Backend struct {
	asker    asker
	timeout  time.Duration
	inFlight int
	log      *slog.Logger
	witness  *witness

	probes chan scanner.Probe // from Send to Receive, unbuffered
	ended  chan struct{}      // closed when Receive returns

	answers, sendErrors, sendRetries atomic.Uint64

	unsent string // why the first probe that could not be sent was not; Receive's while it runs
}

var (
	_ scanner.Backend = (*Backend)(nil)
	_ scanner.Router  = (*Backend)(nil)
	_ scanner.Witness = (*Backend)(nil)
)

// asker makes one try. Several goroutines call ask at once.
type asker interface {
	// ask sends p and waits that long for its answer; the zero answer is silence,
	// also when ctx ended the wait. An error is a fault of this side.
	ask(ctx context.Context, p scanner.Probe, wait time.Duration) (answer, error)
	// awaits reports whether addr may answer later than near ones do.
	awaits(addr netip.Addr) bool
}

// answer is what one try heard.
type answer struct {
	reason  scanner.Reason
	from    netip.Addr // zero when the system does not tell
	ttl     uint8
	rtt     time.Duration
	at      time.Time
	payload []byte
	window  uint16
}

// New checks cfg and returns a Backend that has opened nothing yet.
func New(cfg Config) (*Backend, error) {
	if cfg.Timeout < 0 || cfg.InFlight < 0 {
		return nil, fmt.Errorf("connect: timeout %v, in flight %d: want 0 or more", cfg.Timeout, cfg.InFlight)
	}
	cfg.Source = cfg.Source.Unmap()
	if err := checkSource(cfg.Source); err != nil {
		return nil, err
	}
	asker, err := newAsker(cfg)
	if err != nil {
		return nil, err
	}
	b := &Backend{
		asker:    asker,
		timeout:  cfg.Timeout,
		inFlight: inFlight(cfg.InFlight, descriptorLimit()),
		log:      cfg.Log,
		probes:   make(chan scanner.Probe),
		ended:    make(chan struct{}),
	}
	if b.timeout == 0 {
		b.timeout = DefaultTimeout
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.witness = newWitness(cfg, b.log)
	return b, nil
}

// inFlight is the number of tries at once under a limit of descriptors; a
// quarter of them is left to the rest of the program.
func inFlight(want int, limit uint64) int {
	most := max(1, int(min(limit-limit/4, 1<<30)))
	if want == 0 {
		want = maxInFlight
	}
	return min(want, most)
}

// checkSource refuses an address that no interface of this host has.
func checkSource(source netip.Addr) error {
	if !source.IsValid() || source.IsLoopback() {
		return nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("connect: read this host's addresses: %w", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == source.WithZone("") {
			return nil
		}
	}
	return fmt.Errorf("connect: source %v: no interface of this host has this address", source)
}

// InFlight is the largest number of tries at once.
func (b *Backend) InFlight() int { return b.inFlight }

// Close has nothing to do: Receive leaves nothing open.
func (b *Backend) Close() error { return nil }

// Send hands the probes over one by one and blocks while InFlight tries are
// under way. It returns how many were taken, and an error when ctx or Receive
// has ended.
func (b *Backend) Send(ctx context.Context, batch []scanner.Probe) (int, error) {
	for i, p := range batch {
		b.witness.aim(ctx, p.Addr)
		select {
		case b.probes <- p:
		case <-ctx.Done():
			return i, fmt.Errorf("connect: send: %w", ctx.Err())
		case <-b.ended:
			return i, ErrEnded
		}
	}
	return len(batch), nil
}

// report is how a try ended.
type report struct {
	observation scanner.Observation
	answered    bool  // false: silence
	fault       error // why observation is a local-error
}

// Receive makes the tries that Send asks for and calls emit with what they
// heard, until ctx ends; tries under way are then cut short and waited for,
// and what they had heard by then is emitted.
func (b *Backend) Receive(ctx context.Context, emit func(scanner.Observation)) error {
	defer close(b.ended)
	var (
		tries    sync.WaitGroup
		underway int
		reports  = make(chan report, 64)
		faults   = map[string]bool{} // logged already; as many as there are errnos
	)
	finish := func(r report) {
		underway--
		if r.fault != nil && !faults[rootCause(r.fault)] {
			faults[rootCause(r.fault)] = true
			b.log.WarnContext(ctx, "probe could not be sent", "target", r.observation.Target, "error", r.fault)
			b.unsent = cmp.Or(b.unsent, fmt.Sprintf("the first was %v: %s", r.observation.Target, rootCause(r.fault)))
		}
		if r.answered {
			emit(r.observation)
		}
	}
	for ctx.Err() == nil {
		probes := b.probes
		if underway == b.inFlight {
			probes = nil // Send blocks
		}
		select {
		case p := <-probes:
			underway++
			tries.Go(func() { reports <- b.try(ctx, p) }) // ends with its answer, its patience or ctx
		case r := <-reports:
			finish(r)
		case <-ctx.Done():
		}
	}
	for underway > 0 {
		finish(<-reports)
	}
	tries.Wait()
	return nil
}

// try asks once, and again while this host is short of something that will
// come free.
func (b *Backend) try(ctx context.Context, p scanner.Probe) report {
	wait := b.timeout * time.Duration(min(int(p.Attempt)+1, maxPatience))
	started := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		a, err := b.ask(ctx, p, wait)
		switch {
		case err == nil && a.reason == 0, err != nil && ctx.Err() != nil:
			return report{}
		case err == nil:
			b.answers.Add(1)
			// Tries that ended before this answer could have come were not lost.
			p.Attempt -= uint8(min(time.Duration(p.Attempt), a.rtt/b.timeout))
			return report{observation: observe(p, a), answered: true}
		case !transient(err) || time.Since(started) > localPatience:
			b.sendErrors.Add(1)
			a = answer{reason: scanner.LocalError, at: time.Now()}
			return report{observation: observe(p, a), answered: true, fault: err}
		}
		b.sendRetries.Add(1)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (b *Backend) ask(ctx context.Context, p scanner.Probe, wait time.Duration) (answer, error) {
	if len(p.Payload) > maxDatagram {
		return answer{}, fmt.Errorf("connect: payload of %d bytes: want at most %d", len(p.Payload), maxDatagram)
	}
	return b.asker.ask(ctx, p, wait)
}

func observe(p scanner.Probe, a answer) scanner.Observation {
	return scanner.Observation{
		Target:  p.Target,
		State:   scanner.StateOf(a.reason, a.from == p.Addr),
		Reason:  a.reason,
		From:    a.from,
		TTL:     a.ttl,
		RTT:     a.rtt,
		At:      a.at,
		Payload: a.payload,
		Window:  a.window,
		Attempt: p.Attempt,
	}
}

// Routed implements scanner.Router. Beside gateways it is this host's own kernel
// that says late that an on-link address has no neighbour.
func (b *Backend) Routed(addr netip.Addr) bool { return !addr.IsLoopback() && b.asker.awaits(addr) }

// Faults implements scanner.Witness. On Linux it compares the interfaces and
// addresses that probes left by with what they were before the first one. Where
// that explains nothing, it says why the first probe that could not be sent was
// not. It must not be called while Receive runs.
func (b *Backend) Faults() []string {
	faults := b.witness.faults()
	if len(faults) == 0 && b.unsent != "" {
		faults = []string{b.unsent}
	}
	return faults
}

// Counters returns the facts so far: answers read as Frames, local-errors as
// SendErrors, waits for a local resource as SendRetry, and on Linux as LinkDrops
// what the interfaces that probes left by did not send.
func (b *Backend) Counters() scanner.Counters {
	return scanner.Counters{
		Frames:     b.answers.Load(),
		SendErrors: b.sendErrors.Load(),
		SendRetry:  b.sendRetries.Load(),
		LinkDrops:  b.witness.drops(),
	}
}
