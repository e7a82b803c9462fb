package schedule

import "strings"

// Sandbox is what a unit of this program may do beyond computing and writing to
// its own folder. The zero value is nothing: no privilege, no socket.
type Sandbox struct {
	// Capabilities are held from the start and are the only ones that can be had,
	// such as CAP_NET_RAW.
	Capabilities []string
	// Families are the address families of its sockets, such as AF_INET.
	Families []string
}

// Raw is the sandbox of a unit that sends raw packets by packet sockets and by
// AF_XDP, neither of which needs more than CAP_NET_RAW here.
func Raw() Sandbox {
	return Sandbox{
		Capabilities: []string{"CAP_NET_RAW"},
		Families:     []string{"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_XDP"},
	}
}

// Lines are those of systemd.exec(5) that make the sandbox, each with its line
// end, for the section [Service]. They are the same for every unit of this
// program.
func (s Sandbox) Lines() string {
	families := strings.Join(s.Families, " ")
	if families == "" {
		families = "none"
	}
	var b strings.Builder
	if capabilities := strings.Join(s.Capabilities, " "); capabilities != "" {
		b.WriteString("AmbientCapabilities=" + capabilities + "\n")
	}
	b.WriteString("CapabilityBoundingSet=" + strings.Join(s.Capabilities, " ") + "\n")
	b.WriteString(`NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies=` + families + `
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
`)
	return b.String()
}
