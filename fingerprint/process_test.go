package fingerprint

import (
	"slices"
	"testing"

	"dormant/registry"
)

func TestJudgeProcess(t *testing.T) {
	reg, err := registry.Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		port  string
		p     LocalProcess
		class Class
		rule  string
		flag  string
	}{
		{"1947/tcp", LocalProcess{Name: "hasplmd_x86_64", Path: "/usr/sbin/hasplmd_x86_64"}, LicenseManager, ruleExpected, ""},
		{"1947/tcp", LocalProcess{Name: "hasplms.exe", Path: `C:\Windows\System32\hasplms.exe`}, LicenseManager, ruleExpected, ""},
		{"3712/tcp", LocalProcess{Name: "hasplms.exe", Path: `C:\Windows\System32\hasplms.exe`}, LicenseManager, ruleElsewhere, "off_registry"},
		{"5093/udp", LocalProcess{Name: "lserv", Path: "/opt/rms/lserv"}, LicenseManager, ruleExpected, ""},
		{"1947/tcp", LocalProcess{Name: "hasplmd", Path: "/tmp/.x/hasplmd"}, Unidentified, rulePlace, "odd_place"},
		{"1947/tcp", LocalProcess{Name: "hasplms.exe", Path: `C:\Users\eve\AppData\Local\Temp\hasplms.exe`}, Unidentified, rulePlace, "odd_place"},
		{"3712/tcp", LocalProcess{Name: "memfd:x", Path: "/memfd:x"}, Unidentified, rulePlace, "odd_place"},
		{"3712/tcp", LocalProcess{Name: "node", Path: "/usr/bin/node", Script: "vite"}, DevServer, ruleProgram, ""},
		{"3712/tcp", LocalProcess{Name: "python3.11", Path: "/usr/bin/python3.11", Deleted: true}, DevServer, ruleProgram, "deleted_binary"},
		{"3712/tcp", LocalProcess{Name: "bash", Path: "/bin/bash"}, OpenShell, ruleProgram, ""},
		{"3712/tcp", LocalProcess{Name: "docker-proxy", Path: "/usr/bin/docker-proxy"}, TunnelOrProxy, ruleProgram, ""},
		{"3712/tcp", LocalProcess{Name: "nginx", Path: "/usr/sbin/nginx"}, KnownService, ruleProgram, ""},
		{"3712/tcp", LocalProcess{Name: "nodename", Path: "/opt/tmp/nodename"}, Unidentified, ruleUnknown, ""},
		{"3712/tcp", LocalProcess{}, Unidentified, ruleUnknown, ""},
	} {
		port, err := registry.ParsePort(tt.port)
		if err != nil {
			t.Fatal(err)
		}
		v := JudgeProcess(reg.Entries(), port, tt.p)
		if v.Class != tt.class || v.RuleID != tt.rule || v.Confidence > 75 || tt.flag != "" && !slices.Contains(v.Flags, tt.flag) || tt.flag == "" && len(v.Flags) > 0 {
			t.Errorf("%s %+v: %v %s %v, want %v %s %s", tt.port, tt.p, v.Class, v.RuleID, v.Flags, tt.class, tt.rule, tt.flag)
		}
		if len(v.Signs) != 1 || !v.Signs[0].Decided {
			t.Errorf("%s %+v: signs %+v", tt.port, tt.p, v.Signs)
		}
	}
}
