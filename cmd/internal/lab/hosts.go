package lab

import (
	"net/netip"

	"dormant/fingerprint"
	"dormant/registry"
)

// Host is one emulated machine. Without services everything on it is closed.
type Host struct {
	Addr     netip.Addr `json:"addr"`
	Name     string     `json:"name"`
	Services []Service  `json:"services"`

	everywhere bool // accepts on every canary port as well
}

// Service is one open port, and what a right scan says of it.
type Service struct {
	Port  registry.Port `json:"port"`
	Plays string        `json:"plays"`
	// Verdict is the class that a complete dialogue comes to. Reason and
	// Version are empty where none is expected.
	Verdict fingerprint.Class `json:"verdict"`
	Reason  string            `json:"reason,omitempty"`
	Version string            `json:"version,omitempty"`
	// Missing says why the port is not served on this machine, "" when it is.
	Missing string `json:"missing,omitempty"`

	serve handler
}

const (
	everywhereHost = 45
	lastHost       = 52 // the largest number of a host in its prefix
)

// hosts is the emulated network, by the number of each host in the prefix.
// everywhere adds the box that accepts on every port.
func hosts(stage *stage, everywhere bool) []numbered {
	dormant := []uint16{3588, 3712, 3047, 1947, 5093, 475}
	all := []numbered{
		host(10, "license server",
			tcp(1947, "Sentinel LDK license manager, ACC refused", fingerprint.LicenseManager, site(haspLM("25.02", false))).version("25.02"),
			udp(1947, "its answer to the LM search", fingerprint.LicenseManager, lmSearch("lab-license")),
		),
		host(11, "old license server",
			tcp(1947, "HASP license manager, ACC open to all", fingerprint.LicenseManager, site(haspLM("18.00", true))).version("18.00"),
			udp(1947, "its answer to the LM search", fingerprint.LicenseManager, lmSearch("lab-old")),
		),
		host(12, "Sentinel RMS server",
			udp(5093, "Sentinel RMS license manager", fingerprint.LicenseManager, rms),
		),
		host(13, "NetHASP server",
			tcp(475, "NetHASP license manager", fingerprint.LicenseManager, streams(netHASP)),
		),
		host(14, "keys server",
			tcp(3712, "web monitor of Sentinel Keys Server", fingerprint.LicenseManager, site(keysServer("1.3.2"))).version("1.3.2"),
		),
		host(20, "front-end workstation", tcp(3588, "Vite dev server", fingerprint.DevServer, site(vite))),
		host(21, "second workstation", tcp(3712, "webpack dev server", fingerprint.DevServer, site(webpack))),
		host(22, "somebody's folder", tcp(3047, "Python http.server", fingerprint.DevServer, site(pythonHTTP)).version("3.11.2")),
		host(23, "build machine", tcp(3588, "Go net/http server", fingerprint.DevServer, streams(goHTTP))),
		host(30, "cache", tcp(3712, "Redis without a password", fingerprint.KnownService, streams(redis))),
		host(31, "database", tcp(3588, "PostgreSQL", fingerprint.KnownService, streams(postgres))),
		host(32, "jump host", tcp(3047, "OpenSSH", fingerprint.KnownService, streams(ssh)).version("9.2p1")),
		host(33, "intranet site", tcp(3712, "nginx over TLS, self-signed", fingerprint.KnownService, streams(stage.nginxTLS)).version("1.22.1")),
		host(40, "debug console, or worse", tcp(3588, "shell, as text: nothing is executed", fingerprint.OpenShell, streams(shell)).because("posix")),
		host(41, "tarpit", tcp(3047, "one byte every 700 ms", fingerprint.Tarpit, streams(drip)).because("drip")),
		host(42, "forward to a dead server", each(dormant, "closes every connection at once", "dead_forward", streams(deadForward))...),
		host(43, "filter with a block page", each(dormant[:3], "the same page whatever comes", "block_page", streams(blockPage))...),
		host(44, "silent listener", tcp(5093, "accepts, reads, never answers", fingerprint.Unidentified, streams(silent))),
		host(50, "workstation, all closed"),
		host(51, "workstation, all closed"),
		host(lastHost, "workstation, all closed"),
	}
	if everywhere {
		box := each(dormant, "accepts on every port, never answers", "answers_everywhere", streams(silent))
		all = append(all, host(everywhereHost, "filter that accepts everywhere", box...))
		all[len(all)-1].everywhere = true
	}
	return all
}

// numbered is a host before the prefix is known.
type numbered struct {
	number     byte
	name       string
	services   []Service
	everywhere bool
}

func host(number byte, name string, services ...Service) numbered {
	return numbered{number: number, name: name, services: services}
}

func tcp(port uint16, plays string, v fingerprint.Class, h handler) Service {
	return Service{Port: registry.Port{Number: port, Proto: registry.TCP}, Plays: plays, Verdict: v, serve: h}
}

func udp(port uint16, plays string, v fingerprint.Class, answer func(request []byte) []byte) Service {
	return Service{Port: registry.Port{Number: port, Proto: registry.UDP}, Plays: plays, Verdict: v, serve: datagrams(answer)}
}

func (s Service) version(v string) Service { s.Version = v; return s }

func (s Service) because(reason string) Service { s.Reason = reason; return s }

// each plays the same on several TCP ports, as boxes in the middle do.
func each(ports []uint16, plays, reason string, h handler) []Service {
	var all []Service
	for _, p := range ports {
		all = append(all, tcp(p, plays, fingerprint.Middlebox, h).because(reason))
	}
	return all
}
