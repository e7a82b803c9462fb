package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
	"dormant/scanner/netlab"
)

// clusterConf is the environment variable by which this test binary becomes a
// node of a NATS cluster.
const clusterConf = "DORMANT_TEST_NATS_CONF"

// TestFleetNode is a node of NATS when it is told to be one.
func TestFleetNode(t *testing.T) {
	path := os.Getenv(clusterConf)
	if path == "" {
		t.Skip("it is started by TestFleetCluster")
	}
	options, err := natsserver.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := natsserver.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	n.ConfigureLogger()
	n.Start()
	n.WaitForShutdown() // by a signal
}

// node is what the configuration of one node of three says before the accounts.
const node = `server_name: n%[1]d
listen: "10.90.1.1:422%[1]d"
max_payload: 4194304
jetstream: { store_dir: %[2]q }
log_file: "%[2]s.log"
cluster: {
  name: dormant
  listen: "10.90.1.1:622%[1]d"
  routes: [ "nats://10.90.1.1:6221", "nats://10.90.1.1:6222", "nats://10.90.1.1:6223" ]
}
`

// TestFleetCluster has a fleet work over three nodes of NATS, configured as
// dormant server permissions says, and kills the node that leads the results.
func TestFleetCluster(t *testing.T) {
	r := newFleetRig(t)
	accounts, err := exec.Command("dormant", "server", "permissions", "--agent", "hq-1", "--site", "hq", "--vantage", "lan").Output()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(accounts), "  DORMANT: {\n", "  DORMANT: {\n    users: [ { user: server, password: s } ]\n", 1)
	text = strings.Replace(text, "  DORMANT_hq-1: {\n", "  DORMANT_hq-1: {\n    users: [ { user: hq, password: a } ]\n", 1)
	nodes := map[string]*exec.Cmd{}
	var urls []string
	r.hq.flags = []string{"agent", "--agent", "hq-1", "--site", "hq", "--vantage", "lan", "--state", r.hq.dir}
	for n := 1; n <= 3; n++ {
		name, conf := fmt.Sprintf("n%d", n), filepath.Join(r.dir, fmt.Sprintf("n%d.conf", n))
		if err := os.WriteFile(conf, []byte(fmt.Sprintf(node, n, filepath.Join(r.dir, name))+text), 0o600); err != nil {
			t.Fatal(err)
		}
		nodes[name] = startNode(t, r.hub, conf)
		urls = append(urls, fmt.Sprintf("nats://server:s@10.90.1.1:422%d", n))
		r.hq.flags = append(r.hq.flags, "--server", fmt.Sprintf("nats://hq:a@10.90.1.1:422%d", n))
	}
	r.nats = strings.Join(urls, ",")
	r.until("a cluster with a leader", func() bool {
		conn, err := r.dial()
		if err != nil {
			return false
		}
		defer conn.Close()
		js, err := jetstream.New(conn)
		if err == nil {
			_, err = js.AccountInfo(t.Context())
		}
		return err == nil
	})
	r.startServer("")
	r.startAgent(r.hq)
	run := r.start("slow")["hq"]
	r.midShard(r.hq, run)
	leader := ""
	r.with(func(_ *nats.Conn, js jetstream.JetStream) {
		s, err := js.Stream(t.Context(), fleet.ResultStream)
		if err != nil {
			t.Fatal(err)
		}
		info := s.CachedInfo()
		if info.Config.Replicas != 3 || info.Cluster == nil || len(info.Cluster.Replicas) != 2 {
			t.Fatalf("the results are kept %d times, %+v; want three", info.Config.Replicas, info.Cluster)
		}
		leader = info.Cluster.Leader
	})
	if err := nodes[leader].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	r.complete("slow", r.hq, run, "10.66.1.0/27")
	t.Logf("%s was lost; the run was over %v later", leader, time.Since(killed).Round(100*time.Millisecond))
}

// startNode starts this test binary as a node of NATS.
func startNode(t *testing.T, in *netlab.NS, conf string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFleetNode$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), clusterConf+"="+conf)
	var err error
	in.Do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b, err := os.ReadFile(strings.TrimSuffix(conf, ".conf") + ".log"); err == nil && t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(conf), b)
		}
	})
	return cmd
}
