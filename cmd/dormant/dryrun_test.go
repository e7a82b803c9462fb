package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestDryRunShowsZonesAndRanges(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	var out, log bytes.Buffer
	args := []string{"scan", "fe80::1%lo", "10.0.0.9/31", "--ports", "5092-5094/udp,8000-8100/tcp", "--seed", "1", "--dry-run"}
	if code := run(t.Context(), args, strings.NewReader(""), &out, &log); code != exitOK {
		t.Fatalf("exit %d: %s", code, log.String())
	}
	const want = `targets    10.0.0.8/31
           fe80::1%lo
addresses  3, 0 excluded
ports      8000-8100/tcp
           5092/udp
           5093/udp, datagram of 40 bytes
           5094/udp
`
	if got := out.String(); !strings.Contains(got, want) {
		t.Errorf("the dry run says\n%s\nwant\n%s", got, want)
	}
	if got := log.String(); !strings.Contains(got, " INF 10.0.0.9/31 is read as 10.0.0.8/31\n") {
		t.Errorf("the log says %q", got)
	}
}
