package listen_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dormant/registry"
	"dormant/scanner/listen"
	"dormant/scanner/netlab"
)

// TestTapHearsBothSides hears on one end of a veth pair what this end and the
// other say, and only that of the ports.
func TestTapHearsBothSides(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) }) // after those of netlab
	here, there := netlab.Pair(t, "here0", "there0")
	here.Addr("here0", "10.1.0.1/24")
	there.Addr("there0", "10.1.0.2/24")
	lm := netip.MustParseAddrPort("10.1.0.2:1947")
	there.Listen(lm, netip.MustParseAddrPort("10.1.0.2:8080"))

	ports := []registry.Port{{Number: 1947, Proto: registry.TCP}, {Number: 3712, Proto: registry.TCP}, {Number: 1947, Proto: registry.UDP}}
	table := listen.NewTable(0)
	ear, err := listen.NewEar(listen.Config{Ports: ports, Table: table})
	if err != nil {
		t.Fatal(err)
	}
	var tap listen.Tap
	here.Do(func() { tap, err = listen.OpenTap("here0", ports, false) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- tap.Listen(ctx, ear.Hear) }() // ends with ctx

	here.Do(func() {
		for _, addr := range []string{"10.1.0.2:1947", "10.1.0.2:3712", "10.1.0.2:8080"} {
			if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
				_, _ = c.Write([]byte("GET /"))
				_ = c.Close()
			}
		}
		if c, err := net.Dial("udp", "10.1.0.255:1947"); err == nil { // not permitted without SO_BROADCAST, which Go sets
			_, _ = c.Write([]byte("LM"))
			_ = c.Close()
		}
	})
	time.Sleep(300 * time.Millisecond) // the ring hands a frame over after 100 ms
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Listen = %v", err)
	}
	if n, err := tap.Drops(); n != 0 || err != nil {
		t.Errorf("Drops = %d, %v", n, err)
	}
	if err := tap.Close(); err != nil {
		t.Error(err)
	}
	got := map[string]listen.Use{}
	for _, c := range table.Clients() {
		if c.Addr != netip.MustParseAddr("10.1.0.1") || c.Source != "here0" || time.Since(c.Last) > time.Minute {
			t.Errorf("client %+v", c)
		}
		got[c.Server.String()+" "+c.Port.String()] = c.Use
	}
	want := map[string]listen.Use{
		"10.1.0.2 1947/tcp": listen.Used, "10.1.0.2 3712/tcp": listen.Refused, "10.1.0.255 1947/udp": listen.Announced,
	}
	for k, use := range want {
		if got[k] != use {
			t.Errorf("%s: %v, want %v", k, got[k], use)
		}
	}
	if len(got) != len(want) || ear.Heard().Other != 0 {
		t.Errorf("clients %v, heard %+v", got, ear.Heard())
	}
}

func TestTapDown(t *testing.T) {
	here, _ := netlab.Pair(t, "here0", "there0")
	ports := []registry.Port{{Number: 1947, Proto: registry.TCP}}
	var tap listen.Tap
	var err error
	var names []string
	here.Do(func() {
		tap, err = listen.OpenTap("here0", ports, true)
		names, _ = listen.Interfaces()
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 1 || names[0] != "here0" {
		t.Errorf("Interfaces = %v, want here0 only", names)
	}
	time.AfterFunc(20*time.Millisecond, func() { here.Down("here0") })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := tap.Listen(ctx, func(string, listen.LinkType, []byte, time.Time) {}); !errors.Is(err, listen.ErrDown) {
		t.Errorf("Listen = %v, want ErrDown", err)
	}
	if err := tap.Close(); err != nil {
		t.Error(err)
	}
	here.Do(func() { _, err = listen.OpenTap("gone0", ports, false) })
	if !errors.Is(err, listen.ErrDown) {
		t.Errorf("OpenTap of nothing = %v, want ErrDown", err)
	}
}
