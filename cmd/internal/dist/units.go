package main

import (
	"fmt"
	"strings"

	"dormant/cmd/internal/schedule"
)

// A unit is one systemd service of the package.
type unit struct {
	name        string // "server" or "agent"
	description string
	command     string
	more        string // lines of [Service]
	memory      int    // MiB, beyond which it is killed
	// unrestarted are the exit codes that another start does not help.
	unrestarted string
	sandbox     schedule.Sandbox
}

// units are the services. None has an administrator's right; the agent's raw
// sockets are a capability of the unit and not of the file.
func units() []unit {
	return []unit{
		{
			name: "server", description: "dormant server: scheduled audits of several sites",
			command: "/usr/bin/dormant server --config /etc/dormant/server.yaml",
			more:    "# flags as DORMANT_LISTEN=:4222 and so on\nEnvironmentFile=-/etc/default/dormant-server\n",
			memory:  4096, unrestarted: "2",
			sandbox: schedule.Sandbox{Families: []string{"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"}},
		},
		{
			name: "agent", description: "dormant agent: scans this network for a dormant server",
			command: "/usr/bin/dormant agent --config /etc/dormant/agent.yaml",
			more:    "# the part that it is at is finished or given back, see --grace\nTimeoutStopSec=90s\n",
			memory:  1024, unrestarted: "2 4",
			sandbox: schedule.Raw(),
		},
	}
}

// File is the name of the unit.
func (u *unit) File() string { return "dormant-" + u.name + ".service" }

// User is the system user that the service runs as.
func (u *unit) User() string { return "_dormant-" + u.name }

// Home is the folder of that user, the only one that the service can write to.
func (u *unit) Home() string { return "/var/lib/dormant-" + u.name }

// Text is the unit file.
func (u *unit) Text() string {
	return fmt.Sprintf(`[Unit]
Description=%s
Documentation=man:dormant-%s(1)
Wants=network-online.target
After=network-online.target
# a fault that does not go away is not tried for ever
StartLimitIntervalSec=10min
StartLimitBurst=10

[Service]
ExecStart=%s
User=%s
Group=%s
# the state is in the user's folder: %s/.local/state/dormant
StateDirectory=dormant-%s
StateDirectoryMode=0700
WorkingDirectory=%s
%sRestart=on-failure
RestartSec=10s
RestartPreventExitStatus=%s
LimitNOFILE=65536
MemoryMax=%dM
Environment=GOMEMLIMIT=%dMiB
%s
[Install]
WantedBy=multi-user.target
`, u.description, u.name, u.command, u.User(), u.User(), u.Home(), u.name, u.Home(), u.more, u.unrestarted,
		u.memory, u.memory*9/10, u.sandbox.Lines())
}

// sysusers is the file for sysusers.d(5).
func sysusers() string {
	var b strings.Builder
	for _, u := range units() {
		fmt.Fprintf(&b, "u %s - \"dormant %s\" %s\n", u.User(), u.name, u.Home())
	}
	return b.String()
}

// tmpfiles is the file for tmpfiles.d(5): the folders are there before the
// services are, for an agent is enrolled first.
func tmpfiles() string {
	var b strings.Builder
	for _, u := range units() {
		fmt.Fprintf(&b, "d %s 0700 %s %s\n", u.Home(), u.User(), u.User())
	}
	return b.String()
}
