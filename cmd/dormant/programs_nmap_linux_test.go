package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"dormant/scanner/netlab"
)

// running is a program of the catalog that listens.
type running struct {
	installed
	at           netip.AddrPort
	dir          string
	ours, theirs judged
}

// judged is what a tool said of one program, and what it cost.
type judged struct {
	text        string
	mark        string // right, kind (the protocol, or what it is built on), nothing, wrong
	took        time.Duration
	connections int
}

// TestBesideNmapPrograms prints what this program and nmap -sV say of every
// installed program of the catalog, listening on one of the dormant ports. It
// asserts only that no innocent program is called a command-and-control
// listener. Run it with "make beside-nmap-programs"; DORMANT_ONLY is a pattern
// of names, DORMANT_NPM a list of folders with npm's commands.
func TestBesideNmapPrograms(t *testing.T) {
	if os.Getenv("DORMANT_BESIDE_NMAP") == "" {
		t.Skip("a measurement of minutes: set DORMANT_BESIDE_NMAP=1")
	}
	ns := netlab.New(t)
	only := regexp.MustCompile(os.Getenv("DORMANT_ONLY"))
	var all []*running
	cert := makeCert(t)
	for n, p := range catalog() {
		if !only.MatchString(p.name) {
			continue
		}
		port := cmp.Or(p.port, []uint16{3588, 3712, 3047}[n%3])
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 88, 0, byte(n + 1)}), port)
		ns.Addr("lo", at.Addr().String()+"/32") // some listen only on what an interface has
		r := &running{installed: p, at: at}
		if why := r.begin(t, ns, cert); why != "" {
			t.Logf("left out: %s: %s", p.name, why)
			continue
		}
		all = append(all, r)
	}
	awaitAll(t, ns, &all)
	dormant, err := exec.LookPath("dormant")
	if err != nil {
		t.Fatal(err)
	}
	wire := ns.Capture("lo")
	each(all, 8, func(r *running) { r.ours = r.askUs(t, ns, dormant) })
	before := len(wire.Frames())
	count(wire.Frames(), all, func(r *running) *judged { return &r.ours })
	if nmap, err := exec.LookPath("nmap"); err == nil {
		each(all, 8, func(r *running) { r.theirs = r.askNmap(t, ns, nmap) })
		count(wire.Frames()[before:], all, func(r *running) *judged { return &r.theirs })
	}
	printBeside(t, all)
}

// makeCert writes a key and its certificate into one file.
func makeCert(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dormant-cert-") // programs of other users read it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o755)
	path := filepath.Join(dir, "pem")
	if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=host.example", "-keyout", path, "-out", path+".crt").CombinedOutput(); err != nil {
		t.Skipf("openssl: %v\n%s", err, out)
	}
	key, _ := os.ReadFile(path)
	crt, _ := os.ReadFile(path + ".crt")
	if err := os.WriteFile(path, append(key, crt...), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// begin starts the program and returns why it could not.
func (r *running) begin(t *testing.T, ns *netlab.NS, cert string) string {
	dir, err := os.MkdirTemp("", "dormant-run-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o777)
	r.dir = dir
	fill := strings.NewReplacer("{addr}", r.at.Addr().String(), "{port}", strconv.Itoa(int(r.at.Port())), "{at}", r.at.String(),
		"{dir}", dir, "{cert}", cert, "{{", "{", "}}", "}")
	if r.file != "" {
		writeFile(t, filepath.Join(dir, "conf"), fill.Replace(r.file))
	}
	words := shellWords(fill.Replace(r.command))
	path := os.Getenv("PATH") + ":/usr/sbin:" + os.Getenv("DORMANT_NPM")
	command := ""
	for _, d := range filepath.SplitList(path) {
		if found, err := exec.LookPath(filepath.Join(d, words[0])); err == nil && d != "" {
			command = found
			break
		}
	}
	if filepath.IsAbs(words[0]) {
		command = words[0]
	}
	if command == "" {
		return words[0] + " is not installed"
	}
	cmd := exec.Command(command, words[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "PATH="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.user && os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	log, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	ns.Do(func() { err = cmd.Start() })
	if err != nil {
		return err.Error()
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // and what it started
		_ = cmd.Wait()
		_ = log.Close()
	})
	return ""
}

// shellWords splits at blanks, and keeps what stands in single quotes together.
func shellWords(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

// awaitAll waits until every program listens, and leaves out those that do not.
func awaitAll(t *testing.T, ns *netlab.NS, all *[]*running) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	var up []*running
	for _, r := range *all {
		for {
			var c net.Conn
			var err error
			ns.Do(func() { c, err = net.DialTimeout("tcp", r.at.String(), time.Second) })
			if err == nil {
				_ = c.Close()
				up = append(up, r)
				break
			}
			if time.Now().After(deadline) {
				text, _ := os.ReadFile(filepath.Join(r.dir, "output"))
				t.Logf("left out: %s: does not listen: %v\n%s", r.name, err, text[:min(len(text), 600)])
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	*all = up
	time.Sleep(3 * time.Second) // some listen before they are ready
}

// each runs f for all, several at a time.
func each(all []*running, atOnce int, f func(*running)) {
	var wg sync.WaitGroup
	turn := make(chan struct{}, atOnce)
	for _, r := range all {
		turn <- struct{}{}
		wg.Go(func() { // ends with f
			f(r)
			<-turn
		})
	}
	wg.Wait()
}

func (r *running) askUs(t *testing.T, ns *netlab.NS, dormant string) judged {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(dormant, "identify", r.at.String(), "--no-canaries", "--format", "json")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	started := time.Now()
	var err error
	ns.Do(func() { err = cmd.Run() })
	j := judged{took: time.Since(started)}
	var out []identified
	if err != nil || json.Unmarshal(stdout.Bytes(), &out) != nil || len(out) != 1 || out[0].Verdict == nil {
		j.text, j.mark = fmt.Sprintf("no verdict (%v) %s", err, stderr.String()), "nothing"
		return j
	}
	v := out[0].Verdict
	class := v.Class.String()
	if class == "possible_c2" {
		t.Errorf("%s is called %s: %+v", r.name, class, v)
	}
	j.text = strings.TrimSpace(class + ": " + strings.TrimSpace(v.Service+" "+v.Product+" "+v.Version))
	if v.Reason != "" {
		j.text += " (" + v.Reason + ")"
	}
	right := strings.Contains(" "+r.class+" ", " "+class+" ")
	generic := strings.HasPrefix(v.Reason, "generic_") || v.Product == ""
	switch {
	case class == "unidentified":
		j.mark = "nothing"
	case right && v.Product != "" && matches(r.product, v.Product):
		j.mark = "right"
	case right && class == "open_shell":
		j.mark = "right"
	case right && matches(r.base, v.Product):
		j.mark = "kind"
	case right && generic && matches(r.kind, v.Service):
		if j.mark = "kind"; r.product == "^$" {
			j.mark = "right"
		}
	case right && v.Reason == "runtime" && matches(r.kind, v.Service):
		j.mark = "kind"
	default:
		j.mark = "wrong"
	}
	return j
}

func (r *running) askNmap(t *testing.T, ns *netlab.NS, nmap string) judged {
	cmd := exec.Command(nmap, "-n", "-Pn", "-sV", "-p", strconv.Itoa(int(r.at.Port())), "-oX", "-", r.at.Addr().String())
	started := time.Now()
	var out []byte
	var err error
	ns.Do(func() { out, err = cmd.Output() })
	j := judged{took: time.Since(started)}
	var run nmapRun
	if err != nil || xml.Unmarshal(out, &run) != nil || len(run.Hosts) != 1 || len(run.Hosts[0].Ports) != 1 {
		t.Logf("nmap of %s: %v", r.name, err)
		j.mark = "nothing"
		return j
	}
	s := run.Hosts[0].Ports[0].Service
	j.text = strings.TrimSpace(s.Name + " " + s.Product + " " + s.Version)
	if s.Method == "table" {
		j.text += " (by port number)"
	}
	switch {
	case s.Method == "table" || s.Name == "" || s.Name == "unknown" || s.Name == "tcpwrapped":
		j.mark = "nothing"
	case s.Product != "" && matches(r.product, s.Product+" "+s.Version), matches(r.product, s.Name):
		j.mark = "right"
	case r.class == "open_shell" && matches("shell", s.Name+s.Product):
		j.mark = "right"
	case matches(r.base, s.Product):
		j.mark = "kind"
	case matches(r.kind, s.Name) && (s.Product == "" || s.Product == s.Name):
		if j.mark = "kind"; r.product == "^$" {
			j.mark = "right"
		}
	default: // also where the protocol is right and the product another
		j.mark = "wrong"
	}
	return j
}

func matches(pattern, text string) bool {
	return pattern != "" && regexp.MustCompile(pattern).MatchString(strings.ToLower(text))
}

// count counts the connections to each program: its SYNs.
func count(frames [][]byte, all []*running, of func(*running) *judged) {
	seen := map[string]bool{}
	syns := map[netip.AddrPort]int{}
	for _, frame := range frames {
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true, Lazy: true})
		tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !ok || !tcp.SYN || tcp.ACK || p.NetworkLayer() == nil {
			continue
		}
		dst, ok := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Dst().Raw())
		key := fmt.Sprint(p.NetworkLayer().NetworkFlow(), tcp.SrcPort, tcp.DstPort, tcp.Seq)
		if ok && !seen[key] {
			seen[key] = true
			syns[netip.AddrPortFrom(dst, uint16(tcp.DstPort))]++
		}
	}
	for _, r := range all {
		of(r).connections = syns[r.at]
	}
}

func printBeside(t *testing.T, all []*running) {
	var b strings.Builder
	b.WriteString("\n| program | this program | | s | conn. | nmap -sV | | s | conn. |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %.1f | %d | %s | %s | %.1f | %d |\n", r.name, r.ours.text, r.ours.mark, r.ours.took.Seconds(), r.ours.connections,
			r.theirs.text, r.theirs.mark, r.theirs.took.Seconds(), r.theirs.connections)
	}
	for _, tool := range []struct {
		name string
		of   func(*running) judged
	}{{"this program", func(r *running) judged { return r.ours }}, {"nmap -sV", func(r *running) judged { return r.theirs }}} {
		marks := map[string]int{}
		var took time.Duration
		connections := 0
		for _, r := range all {
			j := tool.of(r)
			marks[j.mark]++
			took += j.took
			connections += j.connections
		}
		n := max(len(all), 1)
		fmt.Fprintf(&b, "%s: of %d: %d named rightly, %d by protocol or runtime only, %d nothing, %d something that it was not; %.1f s and %.1f connections a port\n",
			tool.name, len(all), marks["right"], marks["kind"], marks["nothing"], marks["wrong"], took.Seconds()/float64(n), float64(connections)/float64(n))
	}
	t.Log(b.String())
}
