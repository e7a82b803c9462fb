package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/scanner/netlab"
)

// wideJob asks 4,096 addresses for three ports in 16 shards, at a rate that two
// cores carry twice.
const wideJob = `  - name: wide
    targets: {hq: 10.67.0.0/20}
    ports: [1947/tcp, 3588/tcp, 5093/tcp]
    rate: 1500
    host_rate: 100
    retries: 0
    shard_size: 256
`

// TestFleetThroughput has the same job done by one agent and by two, in two
// namespaces, by turns.
func TestFleetThroughput(t *testing.T) {
	if os.Getenv(benchFleet) == "" {
		t.Skip("takes minutes: make bench-fleet")
	}
	r := newFleetRig(t)
	jobs, err := os.ReadFile(r.jobs)
	if err == nil {
		err = os.WriteFile(r.jobs, append(jobs, wideJob...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.startServer("")
	// The second agent is one of hq, in the namespace where plant's would be, in
	// front of the same network.
	second := r.plant
	second.place, second.name = r.hq.place, "hq-2"
	for _, s := range []*rigSite{r.hq, second} {
		s.net.Local("10.67.0.0/20")
		s.here.Route(netlab.Route{Dst: "10.67.0.0/20", Via: "10.66.0.2", Dev: "lan0"})
		r.enroll(s)
	}
	r.startAgent(r.hq)
	took := map[int][]time.Duration{}
	for range 3 {
		took[1] = append(took[1], r.timed())
		r.startAgent(second)
		r.until("the second agent at work", func() bool { return strings.Contains(second.agent.said(), "gives work") })
		took[2] = append(took[2], r.timed())
		if c := second.agent.end(); c != exitOK {
			t.Fatalf("exit %d\n%s", c, second.agent.said())
		}
	}
	one, two := median(took[1]), median(took[2])
	t.Logf("12,288 targets at 1,500 probes a second and agent: one agent %.2f s, two %.2f s, medians of three by turns: %.2f times as fast (%v, %v)",
		one.Seconds(), two.Seconds(), one.Seconds()/two.Seconds(), took[1], took[2])
}

// timed returns how long the wide job takes.
func (r *fleetRig) timed() time.Duration {
	r.t.Helper()
	run := r.start("wide")["hq"]
	var st fleet.RunStatus
	r.until("the end of "+filepath.Base(run), func() bool { st, _ = r.find(run); return st.State == fleet.RunComplete })
	return st.Finished.Sub(st.Started)
}
