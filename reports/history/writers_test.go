package history_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"dormant/reports"
	"dormant/reports/history"
)

func testTwoWriters(t *testing.T, fresh maker) {
	path := fresh(t)
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			s, err := history.Open(t.Context(), path) // both make the file
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close() //nolint:errcheck // the test reads the file again
			r, err := s.Begin(t.Context(), plan("10.0.0.0/8"), func() reports.Run { return reports.Run{ScanID: fmt.Sprintf("s_%d", w)} })
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 5000 {
				f := service{at: fmt.Sprintf("10.%d.%d.%d:1947/tcp", w, i/250, i%250)}.finding("x", day(1))
				if err := r.Write(t.Context(), f); err != nil {
					t.Error(err)
					return
				}
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	runs, err := open(t, path).Runs(t.Context())
	if err != nil || len(runs) != 2 || runs[0].Open != 5000 || runs[1].Open != 5000 {
		t.Errorf("Runs = %+v, %v; want two with 5000 open ports", runs, err)
	}
}

func testKilledWriter(t *testing.T, fresh maker) {
	path := fresh(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DORMANT_TEST_WRITER="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said uint64
	for deadline := time.Now().Add(30 * time.Second); said < 3000 && time.Now().Before(deadline); {
		if _, err := fmt.Fscan(out, &said); err != nil {
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if said < 3000 {
		t.Fatalf("the writer stored %d findings; want 3000 before it is killed", said)
	}
	s := open(t, path)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs, err := s.Runs(t.Context())
	if err != nil || len(runs) != 1 || runs[0].Open < said || runs[0].Status != "unfinished" {
		t.Fatalf("Runs = %+v, %v; want one unfinished with at least the %d findings that were reported as stored", runs, err, said)
	}
	if line := runs[0].Facts.Coverage(); runs[0].Facts.Complete() || !strings.Contains(line, "INCOMPLETE: the run has no end") {
		t.Errorf("a report of it says %q; want that the run has no end", line)
	}
	n := 0
	if err := s.Findings(t.Context(), runs[0], func(reports.Finding) error { n++; return nil }); err != nil || uint64(n) != runs[0].Open {
		t.Errorf("Findings = %d, %v; want all %d readable", n, err, runs[0].Open)
	}
}
