package fakenet_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/backendtest"
	"dormant/scanner/fakenet"
)

func target(last byte, port registry.Port) scanner.Target {
	return scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, last}), Port: port}
}

func world() (backendtest.World, map[scanner.Target]scanner.State) {
	tcp := registry.Port{Number: 1947, Proto: registry.TCP}
	udp := registry.Port{Number: 5093, Proto: registry.UDP}
	w := backendtest.World{
		Open: target(1, tcp), Closed: target(2, tcp), Silent: target(3, tcp),
		OpenUDP: target(1, udp), ClosedUDP: target(2, udp), SilentUDP: target(3, udp),
		Payload: []byte("hello"), Reply: []byte("re:hello"),
		Wait: time.Second,
	}
	return w, map[scanner.Target]scanner.State{
		w.Open: scanner.Open, w.Closed: scanner.Closed,
		w.OpenUDP: scanner.Open, w.ClosedUDP: scanner.Closed, w.SilentUDP: scanner.OpenFiltered,
	}
}

func TestContract(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, states := world()
		backendtest.Run(t, fakenet.New(states, w.Wait/2), w)
	})
}

func TestContractOnLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, states := world()
		link := fakenet.NewLink(fakenet.New(states, w.Wait/2), w.Open.Addr, w.Closed.Addr, w.Silent.Addr)
		backendtest.Run(t, link, w)
	})
}

// collect sends probes every gap and returns what came within wait of the last.
func collect(t *testing.T, n *fakenet.Network, probes []scanner.Probe, gap, wait time.Duration) []scanner.Observation {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var got []scanner.Observation
	done := make(chan error, 1)
	go func() { // ends with ctx; got is read after that
		done <- n.Receive(ctx, func(o scanner.Observation) { got = append(got, o) })
	}()
	for _, p := range probes {
		if _, err := n.Send(ctx, []scanner.Probe{p}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(gap)
	}
	time.Sleep(wait)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return got
}

func TestICMPLimit(t *testing.T) {
	for _, tt := range []struct {
		name string
		gap  time.Duration
		want int
	}{
		{"a burst gets the bucket", 0, 6},
		{"one a second gets all", time.Second, 20},
		{"two a second get the bucket and one a second", 500 * time.Millisecond, 6 + 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				states := map[scanner.Target]scanner.State{}
				var probes []scanner.Probe
				for port := range uint16(20) {
					closed := target(1, registry.Port{Number: 1 + port, Proto: registry.UDP})
					states[closed] = scanner.Closed
					probes = append(probes, scanner.Probe{Target: closed})
				}
				n := fakenet.New(states, time.Millisecond)
				n.ICMPBurst, n.ICMPEvery = 6, time.Second
				if got := collect(t, n, probes, tt.gap, time.Second); len(got) != tt.want {
					t.Errorf("%d answers, want %d", len(got), tt.want)
				}
			})
		})
	}
}

func TestLossAndDuplicatesAreThatMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := target(1, registry.Port{Number: 1, Proto: registry.TCP})
		n := fakenet.New(map[scanner.Target]scanner.State{open: scanner.Open}, time.Millisecond)
		n.Loss, n.Duplicate = 0.1, 0.5
		const probes = 10000
		batch := make([]scanner.Probe, probes)
		for i := range batch {
			batch[i].Target = open
		}
		got := len(collect(t, n, batch, 0, time.Second))
		// 0.9² arrive, half of them twice: 12150 expected, standard deviation below 100
		if got < 11700 || got > 12600 {
			t.Errorf("%d answers to %d probes, want about 12150", got, probes)
		}
		if n.Total() != probes || len(n.Sent(open)) != probes {
			t.Errorf("Total = %d, Sent = %d; want %d", n.Total(), len(n.Sent(open)), probes)
		}
	})
}

func TestBreakAfter(t *testing.T) {
	n := fakenet.New(nil, time.Millisecond)
	n.BreakAfter = 3
	batch := make([]scanner.Probe, 5)
	if sent, err := n.Send(t.Context(), batch); sent != 3 || !errors.Is(err, fakenet.ErrBroken) {
		t.Errorf("Send = %d, %v; want 3, ErrBroken", sent, err)
	}
}
