package connect

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/time/rate"

	"dormant/registry"
	"dormant/scanner"
)

// The engine over this backend, as fast as it goes, on 254 addresses of
// loopback: every open port and no other, and an answer for all the rest.
func TestSweep(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux answers on all of 127.0.0.0/8")
	}
	var want []scanner.Target
	ports := map[registry.Port]bool{}
	for _, addr := range []string{"127.9.0.1", "127.9.0.77", "127.9.0.254"} {
		p := listen(t, addr)
		want = append(want, p.openTCP, p.replyUDP)
		for _, x := range []scanner.Target{p.openTCP, p.closedTCP, p.replyUDP, p.closedUDP} {
			ports[x.Port] = true
		}
	}
	var list []registry.Port
	for p := range ports {
		list = append(list, p)
	}
	slices.SortFunc(list, registry.Port.Compare)
	plan, err := scanner.NewPlan([]netip.Prefix{netip.MustParsePrefix("127.9.0.0/24")}, list, 1)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := scanner.New(fresh(t, Config{}), scanner.Config{Rate: rate.Inf, HostRate: rate.Inf, Retries: 2})
	if err != nil {
		t.Fatal(err)
	}
	var got []scanner.Target
	summary, err := engine.Run(t.Context(), plan, func(o scanner.Observation) {
		if o.State == scanner.Open {
			got = append(got, o.Target)
		}
	})
	if err != nil || !summary.Complete {
		t.Errorf("Run = %+v, %v; want a complete run", summary, err)
	}
	slices.SortFunc(want, scanner.Target.Compare)
	slices.SortFunc(got, scanner.Target.Compare)
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("open (-want +got):\n%s", d)
	}
	if summary.Closed+summary.Open != plan.Len() {
		t.Errorf("%d closed and %d open of %d, want all", summary.Closed, summary.Open, plan.Len())
	}
	t.Logf("%d targets, %.0f probes/s, %v", summary.Targets, summary.Rate, summary.Finished.Sub(summary.Started))
}
