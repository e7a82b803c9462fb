package broker

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"dormant/cmd/internal/fleet"
)

// TestMain is also the process that tests kill: a broker that publishes to
// itself, and prints the number of each message that was acknowledged.
func TestMain(m *testing.M) {
	if dir := os.Getenv("DORMANT_TEST_BROKER"); dir != "" {
		os.Exit(publishUntilKilled(dir))
	}
	if dir := os.Getenv("DORMANT_TEST_SMALL_DISK"); dir != "" {
		os.Exit(fillDisk(dir))
	}
	goleak.VerifyTestMain(m)
}

func publishUntilKilled(dir string) int {
	ctx := context.Background()
	s, err := New(Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	err = s.Run(ctx, func() {
		err := func() error {
			conn, err := s.Dial(ctx, Options{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				return err
			}
			js, err := Prepare(ctx, conn, Streams{})
			if err != nil {
				return err
			}
			for i := 1; ; i++ {
				_, err := js.Publish(ctx, "dormant.result.hq.lan.alpha.run", fmt.Append(nil, i), jetstream.WithMsgID(fmt.Sprint(i)))
				if err != nil {
					return err
				}
				fmt.Println(i)
			}
		}()
		fmt.Fprintln(os.Stderr, err)
	})
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestKilledBrokerLosesNothing: what was acknowledged before a kill -9 is there
// after it.
func TestKilledBrokerLosesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "store")
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "DORMANT_TEST_BROKER="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := ""
	for lines, n := bufio.NewScanner(out), 0; lines.Scan(); n++ {
		last = lines.Text()
		if n == 200 {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	if complaint.Len() > 0 {
		t.Fatal(complaint.String())
	}
	s := run(t, Config{Dir: dir})
	conn, err := s.Dial(ctx, Options{Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	results, err := js.Stream(ctx, fleet.ResultStream)
	if err != nil {
		t.Fatal(err)
	}
	var n, seen uint64
	if _, err := fmt.Sscan(last, &n); err != nil {
		t.Fatal(err)
	}
	for ; ; seen++ {
		m, err := results.GetMsg(ctx, seen+1)
		if err != nil {
			break
		}
		if want := fmt.Sprint(seen + 1); string(m.Data) != want {
			t.Fatalf("message %d holds %q", seen+1, m.Data)
		}
	}
	if seen < n || seen > n+1 {
		t.Errorf("%d messages are there, %d were acknowledged", seen, n)
	}
	ack, err := js.Publish(ctx, "dormant.result.hq.lan.alpha.run", []byte(last), jetstream.WithMsgID(last))
	if err != nil || !ack.Duplicate {
		t.Errorf("the last message again: %+v, %v; want it dropped as a repetition", ack, err)
	}
}
