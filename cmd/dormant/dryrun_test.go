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

func TestDryRunCountsAndTimes(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for _, tt := range []struct{ args, probes, time string }{
		{"10.0.0.0/24", "3072, and at most 9216 when nobody answers", "3.1s to 9.2s of sending at 1000 a second,"},
		{"10.0.0.1 --rate max", "12, and at most 36 when nobody answers", "600ms to 1.8s of sending at 20 a second,"},
		{"10.0.0.1 --host-rate 0.5 --retries 0", "12", "24s of sending at 0.5 a second,"},
		{"10.0.0.1 --host-rate 0.1 --retries 0 --ports 1947/tcp", "1", "10s of sending at 0.1 a second,"},
		{"10.0.0.0/16 --rate max", "786432, and at most 2359296 when nobody answers", "as fast as this host sends, which can be 1.6s to 4.7s of sending at 500000 a second,"},
		{"10.0.0.0/16 --rate max --state-budget 1200000", "786432, and at most 2359296 when nobody answers", "39.3s to 1m58s of sending at 20000 a second,"},
		{"10.0.0.0/24 --shard 2/5 --estimate --ports 1947", "206, and at most 618 when nobody answers", "200ms to 600ms of sending at 1000 a second,"},
	} {
		var out, log bytes.Buffer
		if code := run(t.Context(), strings.Fields("scan --dry-run "+tt.args), strings.NewReader(""), &out, &log); code != exitOK {
			t.Fatalf("%s: exit %d: %s", tt.args, code, &log)
		}
		if want := "\nprobes     " + tt.probes + "\ntime       " + tt.time; !strings.Contains(out.String(), want) {
			t.Errorf("%s: the dry run says\n%s\nwant%s", tt.args, &out, want)
		}
	}
}

// Who wants no search sent has none sent.
func TestNoDiscovery(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for args, want := range map[string]string{"": "1947/udp, datagram of 40 bytes", "--no-discovery": "1947/udp"} {
		var out, log bytes.Buffer
		if code := run(t.Context(), strings.Fields("scan --dry-run 10.0.0.1 --ports 1947/udp "+args), strings.NewReader(""), &out, &log); code != exitOK {
			t.Fatalf("%s: exit %d: %s", args, code, &log)
		}
		if !strings.Contains(out.String(), "ports      "+want+"\n") {
			t.Errorf("%s: the dry run says\n%s\nwant %s", args, &out, want)
		}
	}
}

// A dry run that is well is no promise of a scan that ends at once with exit 2.
func TestDryRunRefusesWhatTheScanRefuses(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for args, want := range map[string]string{
		"-o foo.pdf":                             "foo.pdf: the extension names no format",
		"-o -":                                   "--output -: say in which format",
		"--policy none.yaml":                     "--policy: ",
		"--fail-on xx":                           "--fail-on ",
		"--fail-on breach":                       "want --policy FILE, too",
		"--fail-on open_shell --no-identify":     "with --no-identify nothing is told apart",
		"-o a.csv --csv-columns ip,nosuchcolumn": "nosuchcolumn",
		"-o nowhere/a.csv":                       "the folder nowhere does not exist",
		"--manifest nowhere/m.json":              "the folder nowhere does not exist",
		"--event-log nowhere/log":                "the folder nowhere does not exist",
		"--notify http://":                       "a http URL without a host",
		"--fail-on change --no-history":          "without it nothing is known of changes",
		"--canary 127.0.0.2:1947":                "is not among the targets",
	} {
		for _, mode := range []string{"--dry-run", "--no-history --backend connect"} {
			var out, log bytes.Buffer
			words := strings.Fields("scan 127.0.0.1 " + args + " " + mode)
			if code := run(t.Context(), words, strings.NewReader(""), &out, &log); code != exitUsage || !strings.Contains(log.String(), want) || out.Len() > 0 {
				t.Errorf("%v: exit %d, %q, %q; want %d, %q and no output", words, code, &log, &out, exitUsage, want)
			}
		}
	}
}

func TestDryRunRefusesInterfacesThatThisHostHasNot(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for _, args := range []string{"127.0.0.1 --interface nowhere0", "127.0.0.1 --source 127.0.0.300", "127.0.0.1 --source 198.51.100.7", "fe80::1%nowhere0"} {
		var out, log bytes.Buffer
		dry := run(t.Context(), strings.Fields("scan --dry-run "+args), strings.NewReader(""), &out, &log)
		said := log.String()
		log.Reset()
		code := run(t.Context(), strings.Fields("scan --no-history --backend connect "+args), strings.NewReader(""), &out, &log)
		if code == exitOK || dry != code || said != log.String() || out.Len() > 0 {
			t.Errorf("%s: the dry run ends with %d and says %q, the scan with %d and %q", args, dry, said, code, &log)
		}
	}
}
