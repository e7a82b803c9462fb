package main

import (
	"encoding/xml"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// nmapRun is what is read of nmap's XML.
type nmapRun struct {
	Hosts []struct {
		Addresses []struct {
			Addr string `xml:"addr,attr"`
			Type string `xml:"addrtype,attr"`
		} `xml:"address"`
		Ports []struct {
			Protocol string `xml:"protocol,attr"`
			Number   uint16 `xml:"portid,attr"`
			State    struct {
				State string `xml:"state,attr"`
			} `xml:"state"`
			Service struct {
				Name    string `xml:"name,attr"`
				Product string `xml:"product,attr"`
				Version string `xml:"version,attr"`
				Method  string `xml:"method,attr"`
			} `xml:"service"`
		} `xml:"ports>port"`
	} `xml:"host"`
}

// TestBesideNmap prints what nmap and this program say of the same running
// programs, and how long each took. It asserts nothing: it makes the table of
// the README. Run it with DORMANT_BESIDE_NMAP=1, see "make beside-nmap".
func TestBesideNmap(t *testing.T) {
	if os.Getenv("DORMANT_BESIDE_NMAP") == "" {
		t.Skip("a measurement of minutes: set DORMANT_BESIDE_NMAP=1")
	}
	nmap, err := exec.LookPath("nmap")
	if err != nil {
		t.Skip(err)
	}
	n := newNetwork(t)
	started := time.Now()
	rows, _ := n.scan(t)
	ours := time.Since(started)

	const six = "3588,3712,3047,1947,5093,475"
	ports := "T:" + six + ",U:" + six
	started = time.Now()
	theirs := map[string]string{}
	for _, args := range [][]string{{onLink, routed}, {"-6", "fd66::/120"}} {
		args = append([]string{"-n", "-sS", "-sU", "-sV", "-p", ports, "-oX", "-", "--exclude", excludedOnLink + "," + excludedRouted}, args...)
		if args[len(args)-2] == "-6" { // exclusions of the other family are an error there
			args = slices.Delete(args, 8, 10)
		}
		var out []byte
		n.here.Do(func() { out, err = exec.Command(nmap, args...).Output() })
		if err != nil {
			t.Fatalf("nmap %s: %v", strings.Join(args, " "), err)
		}
		readNmap(t, out, theirs)
	}
	took := time.Since(started)

	var b strings.Builder
	fmt.Fprintf(&b, "\n| listening | this program (%.1f s) | nmap -sS -sU -sV (%.1f s) |\n|---|---|---|\n", ours.Seconds(), took.Seconds())
	named := map[string]string{}
	for _, r := range rows {
		named[endpointOf(r).String()+"/"+r["transport"]] = strings.TrimSpace(r["verdict"] + ": " + r["product"] + " " + strings.TrimPrefix(r["version"], "v"))
	}
	for _, at := range n.open() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", at, named[at], theirs[at])
	}
	for at, name := range theirs {
		if !slices.Contains(n.open(), at) {
			fmt.Fprintf(&b, "| nothing on %s | | %s |\n", at, name)
		}
	}
	t.Log(b.String())
}

// readNmap adds what nmap calls open, or open|filtered with a proved name.
func readNmap(t *testing.T, text []byte, into map[string]string) {
	t.Helper()
	var run nmapRun
	if err := xml.Unmarshal(text, &run); err != nil {
		t.Fatal(err)
	}
	for _, h := range run.Hosts {
		for _, a := range h.Addresses {
			addr, err := netip.ParseAddr(a.Addr)
			if err != nil || a.Type == "mac" {
				continue
			}
			for _, p := range h.Ports {
				if p.State.State != "open" {
					continue
				}
				name := strings.TrimSpace(p.Service.Product + " " + p.Service.Version)
				switch {
				case name != "":
				case p.Service.Method == "table":
					name = p.Service.Name + " (by port number)"
				default:
					name = p.Service.Name
				}
				into[fmt.Sprintf("%s/%s", netip.AddrPortFrom(addr, p.Number), p.Protocol)] = name
			}
		}
	}
}
