package broker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fillDisk runs in a mount namespace of its own: a broker on a disk of 48 MiB
// that fills, and is given room again.
func fillDisk(dir string) int {
	if err := fillAndFree(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("went on")
	return 0
}

func fillAndFree(dir string) error {
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=48m"); err != nil {
		return fmt.Errorf("no mount namespace: %w", err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 24<<20), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	s, err := New(Config{Dir: filepath.Join(dir, "store"), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(ready) }) }() // ends with ctx
	select {
	case <-ready:
	case err := <-ended:
		return err
	}
	conn, err := s.Dial(ctx, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := Prepare(ctx, conn, Streams{})
	if err != nil {
		return err
	}
	acknowledged, err := fill(ctx, js)
	if err != nil {
		return err
	}
	for s.Fault() == nil {
		if ctx.Err() != nil {
			return fmt.Errorf("the disk is full, and there is no fault")
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Println("fault:", s.Fault())
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if err := goesOn(ctx, js, conn); err != nil {
		return err
	}
	stream, err := js.Stream(ctx, "DORMANT_RESULT")
	if err != nil {
		return err
	}
	for seq := range acknowledged {
		if m, err := stream.GetMsg(ctx, seq+1); err != nil || len(m.Data) != 256<<10 {
			return fmt.Errorf("message %d of %d that were acknowledged: %w", seq+1, acknowledged, err)
		}
	}
	if s.Fault() != nil {
		return fmt.Errorf("there is room, and a fault: %w", s.Fault())
	}
	cancel()
	return <-ended
}

// fill publishes until nothing is acknowledged any more.
func fill(ctx context.Context, js jetstream.JetStream) (acknowledged uint64, err error) {
	for range 1000 {
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := js.Publish(short, "dormant.result.hq.lan.alpha.run", make([]byte, 256<<10), jetstream.WithRetryAttempts(0))
		cancel()
		if err != nil {
			fmt.Println("full:", err)
			return acknowledged, nil
		}
		acknowledged++
	}
	return 0, fmt.Errorf("the disk takes 250 MB")
}

// goesOn publishes until something is acknowledged again.
func goesOn(ctx context.Context, js jetstream.JetStream, conn *nats.Conn) error {
	for {
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := js.Publish(short, "dormant.result.hq.lan.alpha.run", []byte("again"), jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("there is room, and nothing is stored (connected %t): %w", conn.IsConnected(), err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestFullDisk: it is said, nothing that was acknowledged is lost, and it goes
// on by itself.
func TestFullDisk(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "DORMANT_TEST_SMALL_DISK="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "no mount namespace") || len(out) == 0 && err != nil {
		if os.Getenv("DORMANT_REQUIRE_NETNS") != "" {
			t.Fatalf("%v: %s", err, out)
		}
		t.Skipf("no mount namespace of an own here: %v %s", err, out)
	}
	t.Logf("%s", out)
	if err != nil || !strings.HasSuffix(string(out), "went on\n") {
		t.Errorf("%v", err)
	}
}
