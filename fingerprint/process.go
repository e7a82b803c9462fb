package fingerprint

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"dormant/registry"
)

// LocalProcess is what this host tells of a process that listens. Every field
// may be empty.
type LocalProcess struct {
	PID     int
	Name    string // of the program file
	Path    string
	Script  string // what an interpreter runs
	Package string // that owns the file
	Unit    string
	// Deleted is true when the file at Path is not the one that runs.
	Deleted bool
}

// The rules of JudgeProcess, as a verdict names them.
const (
	ruleExpected  = "process-expected"  // a dossier names the process for this port
	ruleElsewhere = "process-elsewhere" // a dossier names it for another
	rulePlace     = "process-place"     // a program where programs do not live
	ruleProgram   = "process-program"   // a program that is known by its name
	ruleUnknown   = "process-unknown"
)

// JudgeProcess says what a listening process means for a port. The entries are
// all dossiers. A name is a weak proof, which anybody can give to a file: the
// confidence stays below that of an answer from the network, and a place where
// programs do not live counts more than any name.
func JudgeProcess(entries []registry.Entry, port registry.Port, p LocalProcess) Verdict {
	v := Verdict{Class: Unidentified, Service: "unknown", Severity: "info", RuleID: ruleUnknown}
	switch place := oddPlace(p.Path); {
	case place != "":
		v.Class, v.Confidence, v.RuleID, v.Severity = Unidentified, 40, rulePlace, "medium"
		v.Flags = []string{"odd_place"}
		v.Hints = []string{"the program runs from " + place + ", where installed programs do not live: worth a look"}
		v.Settle = []string{"Find out who started it, and keep a copy of the file before it is gone."}
	case named(entries, port.Number, p.Name):
		v.Class, v.Confidence, v.RuleID = LicenseManager, 70, ruleExpected
		v.Hints = []string{"the dossier of this port names the process"}
	case namedElsewhere(entries, port.Number, p.Name) != 0:
		v.Class, v.Confidence, v.RuleID = LicenseManager, 60, ruleElsewhere
		v.Flags = []string{"off_registry"}
		v.Hints = []string{fmt.Sprintf("the dossier of port %d names the process", namedElsewhere(entries, port.Number, p.Name))}
	default:
		v.judgeProgram(p)
	}
	if p.Deleted {
		v.Flags = append(v.Flags, "deleted_binary")
		v.Hints = append(v.Hints, "its file was replaced or removed since it started, usually by an update")
	}
	v.Signs = []Sign{{
		Rule: v.RuleID, Kind: KindContext, Class: v.Class, Points: v.Confidence, Probe: "process",
		Excerpt: strings.TrimSpace(fmt.Sprintf("%s (pid %d) %s %s", p.Name, p.PID, p.Path, p.Script)),
		Source:  "the process table of this host", Decided: true,
	}}
	return v
}

// judgeProgram goes by the name of the program file.
func (v *Verdict) judgeProgram(p LocalProcess) {
	name := programName(p.Name)
	for _, k := range programs() {
		if !k.name.MatchString(name) {
			continue
		}
		v.Class, v.Confidence, v.RuleID, v.Reason = k.class, k.confidence, ruleProgram, k.reason
		if k.severity != "" {
			v.Severity = k.severity
		}
		v.Hints = []string{k.hint}
		if k.class == DevServer && strings.HasSuffix(p.Unit, ".service") && !strings.HasPrefix(p.Unit, "user@") {
			v.Confidence -= 15
			v.Hints = append(v.Hints, "it runs as the service "+p.Unit+", so it may be meant to stay")
		}
		return
	}
	v.Hints = []string{"nothing is known of a program of this name; what it speaks is told by dormant identify"}
}

// program is what the name of a program file means.
type program struct {
	name       *regexp.Regexp // of the whole name, in lower case without .exe
	class      Class
	reason     string
	confidence int // at most 75
	severity   string
	hint       string
}

func programs() []program {
	is := func(names string) *regexp.Regexp { return regexp.MustCompile(`\A(?:` + names + `)\z`) }
	return []program{
		{is(`node|nodejs|deno|bun|esbuild|vite|next-server.*|webpack.*|ng|hugo`), DevServer, "runtime", 60, "",
			"a runtime of web development: on a port like this mostly somebody's dev server"},
		{is(`python[0-9.]*|ruby[0-9.]*|php[0-9.]*|perl[0-9.]*`), DevServer, "runtime", 45, "",
			"an interpreter: mostly somebody's script or dev server"},
		{is(`java|dotnet|mono`), Unidentified, "runtime", 0, "",
			"a runtime that says nothing of the program that it runs"},
		{is(`(?:ba|da|z|k|c|tc|fi|a)?sh|busybox|cmd|powershell|pwsh`), OpenShell, "process", 60, "high",
			"a shell that holds a listening port"},
		{is(`nc(?:\.[a-z]+)?|ncat|netcat|socat|ssh|sshd-session|chisel|frpc|frps|gost|ngrok|cloudflared|stunnel4?|rinetd|docker-proxy|rootlesskit|conmon|slirp4netns|pasta`),
			TunnelOrProxy, "process", 55, "low", "a program that passes connections on: what answers is behind it"},
		{is(`nginx.*|httpd|apache2|haproxy|caddy|traefik|envoy|lighttpd|postgres|mysqld|mariadbd|redis-server|valkey-server|mongod|memcached|sshd|smbd|dnsmasq|systemd|inetd|xinetd|rpcbind|w3wp`),
			KnownService, "process", 60, "", "a well-known server, on an unusual port"},
		{is(`nmap|dormant`), KnownService, "process", 40, "", "a network tool; dormant lab listens on these ports"},
	}
}

func programName(name string) string {
	return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), ".exe")
}

// named reports whether the dossier of a port names a process.
func named(entries []registry.Entry, number uint16, name string) bool {
	name = programName(name)
	return name != "" && slices.ContainsFunc(entries, func(e registry.Entry) bool {
		return e.Number == number && slices.ContainsFunc(e.Processes, func(p registry.Process) bool {
			return slices.ContainsFunc(strings.Split(p.Name, ","), func(n string) bool { return programName(n) == name })
		})
	})
}

// namedElsewhere returns another port whose dossier names a process, 0 for none.
func namedElsewhere(entries []registry.Entry, number uint16, name string) uint16 {
	for _, e := range entries {
		if e.Number != number && named(entries, e.Number, name) {
			return e.Number
		}
	}
	return 0
}

// oddPlace names the folder of a program file where installed programs do not
// live, "" for any other.
func oddPlace(file string) string {
	slashed := strings.ToLower(strings.ReplaceAll(file, `\`, "/"))
	switch {
	case strings.HasPrefix(slashed, "/memfd:"):
		return "memory, without a file"
	case slashed == "":
		return ""
	}
	dir := path.Dir(slashed)
	for _, odd := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run/shm", "/dev/mqueue", "/private/tmp", "/private/var/tmp", "/windows/temp", "/appdata/local/temp",
		"/users/public", "/$recycle.bin", "/downloads"} {
		windows := strings.Contains(slashed, ":/")
		if dir == odd || strings.HasPrefix(dir, odd+"/") || (windows || odd == "/downloads") && (strings.Contains(dir, odd+"/") || strings.HasSuffix(dir, odd)) {
			return path.Dir(strings.ReplaceAll(file, `\`, "/"))
		}
	}
	return ""
}
