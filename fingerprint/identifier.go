package fingerprint

import (
	"cmp"
	"context"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"dormant/registry"
	"dormant/scanner"
)

// How long a new connection is listened to before anything is said. JDWP and
// sslh close after 2.0 s of silence, so a run keeps to one of these, and the
// exchange records it.
const (
	SilenceFast     = 1500 * time.Millisecond
	SilenceNormal   = 3 * time.Second
	SilenceThorough = 6 * time.Second
)

// What one host may cost where Config does not say otherwise: the waiting for
// its answers, and the bytes read of it, all its ports together.
const (
	HostTime  = 20 * time.Second
	HostBytes = 12 * maxReceived // so that what one of the usual ports sends takes nothing from the others
)

// The limits of Config.Connections, per port.
const (
	defaultConnections = 3
	maxConnections     = 5
)

// Config is how an Identifier talks. The zero value is the normal way, with
// canaries and a repetition of what looks like command and control.
type Config struct {
	// Dialer opens the connections; nil is a plain *net.Dialer.
	Dialer Dialer
	// Silence is how long a connection is listened to before anything is said;
	// 0 is SilenceNormal.
	Silence time.Duration
	// Wait is how long to wait for the first byte of an answer; 0 is 5 s.
	Wait time.Duration
	// Quiet is the pause that ends an answer; 0 is 300 ms.
	Quiet time.Duration
	// Connect bounds a handshake; 0 is 4 s, which holds two retransmissions of
	// a SYN.
	Connect time.Duration
	// Gap is the least time between the end of one connection to a host and the
	// start of the next; up to half of it more is added by chance. 0 is 200 ms.
	Gap time.Duration
	// Connections bounds the connections to one port: 1 to 5, 0 is 3. A license
	// manager's own opener has one more, for it takes the first; from 3 on, so
	// has a port that has not said a byte, for a second opener. 5 is never passed.
	Connections int
	// Deep takes the JARM of a TLS server that nothing has named or that shows a
	// sign of command and control: ten connections more to its port.
	Deep bool
	// HostTime bounds the waiting for answers of one host, all its ports
	// together, without the silences; 0 is 20 s. HostBytes bounds what is read
	// of it; 0 is 768 KiB. When either is spent, every further port still gets
	// its first two connections, with 8 KiB an answer, and nothing beyond them.
	HostTime  time.Duration
	HostBytes int
	// RepeatAfter is how long after the dialogue a sign of command and control
	// is asked for again; 0 is 60 s, below 0 is never.
	RepeatAfter time.Duration
	// NoCanaries leaves out the connects to two random ports of every host.
	NoCanaries bool
	// Planned lists the ports of the sweep: no canary is drawn from them.
	Planned []registry.Port
	// Payload tells which datagram the sweep sent to a UDP port; nil tells none.
	Payload func(registry.Port) []byte
	// UserAgent names the scanner in HTTP/1.1 requests, "dormant/1.0 (contact)".
	// What is not printable ASCII is left out of it; "" is "dormant".
	UserAgent string
	// Seed makes jitter, canary ports and random paths; the same seed gives the
	// same ones.
	Seed uint64
}

// guide is what a dialogue asks the rules: what to say, and whether an answer
// is clear enough to stop. *Rules is one.
type guide interface {
	firstOpener(port registry.Port) (Opener, bool)
	nextProbe(ev Evidence) string
	stageTwo(shape Shape) []Opener
	strong(ex Exchange) (Sign, bool)
	indicator(ev Evidence) *Exchange
	named(ev Evidence) bool
	confirm(ev Evidence) (op Opener, inside, ok bool)
}

// Identifier holds dialogues. It is safe for any number of goroutines: to each
// host it makes one connection at a time, whoever asks for it.
type Identifier struct {
	rules guide
	cfg   Config
	turns *turns
	spent struct{ connections, canaries, sent, received atomic.Uint64 }
}

// NewIdentifier returns an Identifier that asks rules what to say. It starts
// nothing.
func NewIdentifier(rules guide, cfg Config) *Identifier {
	if cfg.Dialer == nil {
		cfg.Dialer = &net.Dialer{KeepAlive: -1}
	}
	cfg.Silence = cmp.Or(cfg.Silence, SilenceNormal)
	cfg.Wait = cmp.Or(cfg.Wait, 5*time.Second)
	cfg.Quiet = cmp.Or(cfg.Quiet, 300*time.Millisecond)
	cfg.Connect = cmp.Or(cfg.Connect, 4*time.Second)
	cfg.Gap = cmp.Or(cfg.Gap, 200*time.Millisecond)
	cfg.Connections = min(max(cmp.Or(cfg.Connections, defaultConnections), 1), maxConnections)
	cfg.HostTime = cmp.Or(cfg.HostTime, HostTime)
	cfg.HostBytes = cmp.Or(cfg.HostBytes, HostBytes)
	cfg.RepeatAfter = cmp.Or(cfg.RepeatAfter, time.Minute)
	cfg.UserAgent = cmp.Or(printable(cfg.UserAgent), "dormant")
	return &Identifier{rules: rules, cfg: cfg, turns: newTurns(cfg.Seed, cfg.Gap)}
}

// printable keeps printable ASCII, at most 200 bytes of it.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 200)]
}

// Spent is what all dialogues of an Identifier have cost the network so far.
type Spent struct {
	Connections uint64 `json:"connections"` // TCP, to open ports; attempts count
	Canaries    uint64 `json:"canaries"`    // connects to random ports, no byte sent
	Sent        uint64 `json:"bytes_sent"`  // of payload
	Received    uint64 `json:"bytes_received"`
}

// Spent may be called at any time.
func (i *Identifier) Spent() Spent {
	return Spent{
		Connections: i.spent.connections.Load(),
		Canaries:    i.spent.canaries.Load(),
		Sent:        i.spent.sent.Load(),
		Received:    i.spent.received.Load(),
	}
}

// Identify talks to an open port and returns what was said. It takes seconds;
// after a sign of command and control it waits for Config.RepeatAfter and asks
// once more. When ctx ends it returns at once with what there is and
// StatusCancelled. The error is not nil for a fault of this side only, such as
// no route or no free descriptor; the evidence then has StatusLocalError.
//
// A UDP port is not talked to: its evidence is the sweep's own datagram.
func (i *Identifier) Identify(ctx context.Context, o scanner.Observation) (Evidence, error) {
	ev, again, err := i.talk(ctx, o)
	if !again || err != nil {
		return ev, err
	}
	if scanner.Sleep(ctx, i.cfg.RepeatAfter) != nil {
		ev.Status = StatusCancelled
		return ev, nil
	}
	return i.repeat(ctx, o, ev)
}

// talk holds the dialogue up to its third step; again reports that it found
// what should be seen twice.
func (i *Identifier) talk(ctx context.Context, o scanner.Observation) (ev Evidence, again bool, err error) {
	if o.Port.Proto == registry.UDP {
		return i.datagram(o), false, nil
	}
	if r, ok := i.rules.(*Rules); ok {
		r.rules() // read before the first dialogue, not in the middle of it
	}
	d := i.begin(o, Evidence{Target: o.Target, Started: time.Now()})
	err = d.run(ctx, d.canaries, d.license, d.listen, d.further)
	if err == nil && d.ev.Status != StatusCancelled {
		err = d.run(ctx, d.confirm, d.deep)
	}
	again = err == nil && d.ev.Status == StatusDone && i.cfg.RepeatAfter > 0 && d.rules.indicator(d.ev) != nil
	return d.ev, again, err
}

// repeat takes the fourth step of a dialogue that talk held.
func (i *Identifier) repeat(ctx context.Context, o scanner.Observation, ev Evidence) (Evidence, error) {
	d := i.begin(o, ev)
	err := d.run(ctx, d.again)
	return d.ev, err
}

// datagram is the exchange of the sweep as evidence. Silence and errors of
// ICMP are in the observation already.
func (i *Identifier) datagram(o scanner.Observation) Evidence {
	ev := Evidence{Target: o.Target, Started: o.At.Add(-o.RTT), Elapsed: o.RTT, Status: StatusDone}
	if o.State != scanner.Open {
		return ev
	}
	ex := Exchange{Probe: ProbeUDP, Received: o.Payload, End: EndReply, FirstByte: o.RTT, Elapsed: o.RTT}
	if i.cfg.Payload != nil {
		ex.Sent = i.cfg.Payload(o.Port)
	}
	if len(o.Payload) > 0 {
		ex.Chunks = []Chunk{{At: o.RTT, Bytes: len(o.Payload)}}
	}
	ev.Exchanges = []Exchange{ex}
	ev.BytesSent, ev.BytesReceived = len(ex.Sent), len(ex.Received)
	return ev
}
