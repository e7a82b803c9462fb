package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dormant/fingerprint"
	"dormant/reports/history"
	"dormant/scanner/netlab"
)

// TestListenOnTheWire lets the command hear a client, a port scan and an
// announcement between two namespaces, and write them while it listens.
func TestListenOnTheWire(t *testing.T) {
	here, there := netlab.Pair(t, "here0", "there0")
	here.Addr("here0", "10.1.0.1/24")
	there.Addr("there0", "10.1.0.2/24")
	there.Listen(netip.MustParseAddrPort("10.1.0.2:1947"))
	capture := there.Capture("there0")

	out, db := filepath.Join(t.TempDir(), "clients.csv"), filepath.Join(t.TempDir(), "history.db")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var stdout bytes.Buffer
	said, stderr := io.Pipe()
	listening, done, read := make(chan struct{}), make(chan int), make(chan struct{})
	go func() { // ends with stderr
		defer close(read)
		var heard bool
		for lines := bufio.NewScanner(said); lines.Scan(); {
			t.Log(lines.Text())
			if !heard && strings.Contains(lines.Text(), "nothing is sent") {
				heard = true
				close(listening)
			}
		}
	}()
	go func() { // ends with ctx
		var code int
		here.Do(func() {
			code = run(ctx, []string{"listen", "--interface", "here0", "-o", out, "--every", "1s", "--db", db}, strings.NewReader(""), &stdout, stderr)
		})
		_ = stderr.Close()
		<-read
		done <- code
	}()
	select {
	case <-listening:
	case <-ctx.Done():
		t.Fatal("it does not begin to listen")
	}
	time.Sleep(300 * time.Millisecond) // in which nothing may be sent
	before := len(capture.Frames())
	hello := fingerprint.LMSearch{Created: time.Unix(1400000000, 0), Number: 1, Host: "drawing7"}.Encode()
	there.Do(func() {
		if c, err := net.Dial("udp", "10.1.0.255:1947"); err == nil {
			_, _ = c.Write(hello)
			_ = c.Close()
		}
	})
	here.Do(func() {
		if c, err := net.Dial("tcp", "10.1.0.2:1947"); err == nil {
			_, _ = c.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
			_ = c.Close()
		}
		if c, err := net.Dial("tcp", "10.1.0.2:3712"); err == nil {
			_ = c.Close()
		}
	})
	var written []byte
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if written, _ = os.ReadFile(out); strings.Contains(string(written), "drawing7") && strings.Contains(string(written), "refused") {
			break
		}
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit %d", code)
	}
	store, err := history.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	known, err := store.Clients(t.Context())
	hearings, herr := store.Hearings(t.Context())
	if err != nil || herr != nil || len(known) != 3 || len(hearings) != 1 || hearings[0].Finished.IsZero() || len(hearings[0].Sources) != 1 {
		t.Errorf("the history knows %+v of %+v, %v, %v; want 3 clients of one hearing that ended", known, hearings, err, herr)
	}
	for _, k := range known { // stored every second, and each segment is counted once
		if k.Port.Number == 3712 && k.Count != 2 {
			t.Errorf("the history counts %d segments to 3712, want 2", k.Count)
		}
	}
	if before != len(quiet(capture.Frames()[:before])) {
		t.Errorf("listening sent frames: %x", capture.Frames()[:before])
	}
	for _, want := range []string{
		"10.1.0.2,drawing7,10.1.0.255,udp,1947,announced,asking,1,",
		"10.1.0.1,,10.1.0.2,tcp,1947,used,asking,",
		"10.1.0.1,,10.1.0.2,tcp,3712,refused,asking,2,",
		",2014-05-13T16:53:20.000Z,here0",
	} {
		if !strings.Contains(string(written), want) {
			t.Errorf("the file, written while listening, has no %q:\n%s", want, written)
		}
	}
	if !strings.Contains(stdout.String(), "drawing7") {
		t.Errorf("the table at the end:\n%s", &stdout)
	}
}

// quiet are the frames that a kernel sends by itself: IPv6's own.
func quiet(frames [][]byte) [][]byte {
	var own [][]byte
	for _, f := range frames {
		if len(f) > 14 && f[12] == 0x86 && f[13] == 0xdd && f[20] != 6 && f[20] != 17 {
			own = append(own, f)
		}
	}
	return own
}
