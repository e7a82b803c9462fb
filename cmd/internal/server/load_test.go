package server

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dormant/scanner"
)

const whole = `version: 1
sites:
	hq: {vantages: [lan, dmz], exclude: [10.0.9.0/24, 224.0.0.0/4]}
	plant: {vantages: [floor]}
jobs:
	- name: nightly
		targets:
			hq: [10.0.0.0/16]
			hq/dmz: 10.1.0.0/24, 10.2.0.1
			plant: 10.0.0.0/24
		exclude: 10.0.0.7
		ports: [1947, 8000-8001/tcp]
		cron: "30 2 * * mon-fri"
		time_zone: Europe/Berlin
		windows: [22:00-05:00]
		blackout: sat, 2026-12-24..2027-01-02
		catch_up: true
		deadline: 6h
		rate: 500
		host_rate: 5.5
		retries: 1
		identify: false
		deep: false
		policy: policy.yaml
		rules: /srv/rules
		outputs: ["{job}-{site}-{vantage}-{date}.csv"]
		notify: https://hooks.example.net/a,b
		ticket: CHG-7
	- name: weekly
		every: weekly
		targets: {plant: 10.0.0.0/24}
		shard_size: 64
		rate: max
`

func TestParse(t *testing.T) {
	jobs, err := Parse("/etc/dormant/jobs.yaml", []byte(strings.ReplaceAll(whole, "\t", "  ")))
	if err != nil {
		t.Fatal(err)
	}
	if got := jobs.Places(); len(got) != 3 || got[0].String() != "hq/dmz" || got[1].String() != "hq/lan" || got[2].String() != "plant/floor" {
		t.Errorf("places %v", got)
	}
	j := jobs.Job("nightly")
	var asks []string
	for _, a := range j.Asks {
		asks = append(asks, a.String())
	}
	if strings.Join(asks, " ") != "hq/dmz hq/lan plant/floor" {
		t.Fatalf("asks %v", asks)
	}
	if dmz, lan, plant := j.Asks[0], j.Asks[1], j.Asks[2]; dmz.Addresses != 65536-256-1+256+1 || lan.Addresses != 65536-256-1 || plant.Addresses != 255 {
		t.Errorf("addresses %d, %d, %d", dmz.Addresses, lan.Addresses, plant.Addresses)
	}
	if len(j.Ports) != 4 || j.Rate != 500 || j.HostRate != 5.5 || j.Retries != 1 || !j.NoIdentify || j.Deadline != 6*time.Hour || !j.CatchUp || j.ShardSize != maxShard {
		t.Errorf("sweep %+v", j.Sweep)
	}
	if j.Policy != "/etc/dormant/policy.yaml" || j.Rules != "/srv/rules" || len(j.Notify) != 1 || j.Ticket != "CHG-7" || j.Location.String() != "Europe/Berlin" {
		t.Errorf("%+v", j)
	}
	if j.LineOf(j.Policy) != 24 || j.LineOf(j.Rules) != 25 || j.LineOf(j.Outputs[0]) != 26 || j.LineOf(j.Notify[0]) != 27 || j.LineOf("") != j.Line {
		t.Errorf("lines %v", j.lines)
	}
	if got := Output(j.Outputs[0], &Run{Job: "nightly", Place: j.Asks[1].Place, Started: time.Date(2026, 11, 22, 2, 30, 0, 0, time.UTC)}); got != "/etc/dormant/nightly-hq-lan-2026-11-22.csv" {
		t.Errorf("output %q", got)
	}
	if w := jobs.Job("weekly"); w.ShardSize != 64 || w.Rate != 0 || w.Every != 7*24*time.Hour || w.Shards(&w.Asks[0]) != 4 || len(w.Ports) != 12 {
		t.Errorf("weekly %+v", w.Sweep)
	}
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) // a Friday
	if next := j.Next(at, time.Time{}); next.Format(time.RFC3339) != "2026-11-23T02:30:00+01:00" {
		t.Errorf("next %v", next)
	}
	if !j.Blacked(time.Date(2026, 12, 24, 0, 30, 0, 0, j.Location)) || j.Blacked(time.Date(2026, 12, 23, 23, 30, 0, 0, j.Location)) {
		t.Error("a blackout is a day of the job's own time zone")
	}
	if wait, closes := j.Opens(time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)); wait != time.Hour || !closes.IsZero() {
		t.Errorf("before the window: %v, %v", wait, closes)
	}
	if wait, closes := j.Opens(time.Date(2026, 11, 22, 22, 0, 0, 0, time.UTC)); wait != 0 || closes.UTC().Format(time.RFC3339) != "2026-11-23T04:00:00Z" {
		t.Errorf("in the window: %v, %v", wait, closes)
	}
}

func TestFaultsOfAFile(t *testing.T) {
	const head = "version: 1\nsites: {hq: {vantages: [lan, dmz]}, b: {vantages: [lan]}}\njobs:\n"
	job := func(line string) string {
		return head + "  - name: j\n    targets: {hq/lan: 10.0.0.0/24}\n    " + line + "\n"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "f:1: is empty"},
		{"no YAML", "a: [", "f:"},
		{"another version", "version: 2\nsites: {hq: {vantages: [lan]}}", `f:1: version "2": want version: 1`},
		{"no sites", "version: 1", "f:1: no site"},
		{"no vantage", "version: 1\nsites: {hq: {}}", "f:2: site \"hq\" without vantages"},
		{"a vantage twice", "version: 1\nsites: {hq: {vantages: [a, a]}}", `vantage "a" stands twice`},
		{"a name", head + "  - name: ../x\n    targets: {hq: 10.0.0.1}", "f:4: job \"../x\""},
		{"no name", head + "  - targets: {hq: 10.0.0.1}", "f:4: job \"\": want"},
		{"empty targets", head + "  - name: j\n    targets:\n      hq: []", "f:6: targets of \"hq\": none: want an address"},
		{"not text", "\x00", "f:1: control characters are not allowed"},
		{"a bracket that is open", head + "  - {name: j, targets: [}", "f:4: did not find expected node content"},
		{"a list for sites", "version: 1\nsites: [hq]", `f:2: a list: want keys with values`},
		{"a word for jobs", "version: 1\nsites: {hq: {vantages: [lan]}}\njobs: nightly", `f:3: value "nightly": want a list`},
		{"a key twice", job("rate: 5\n    rate: 6"), `f:7: mapping key "rate" already defined at line 6`},
		{"unknown key of a site", "version: 1\nsites: {hq: {vantage: lan}}", `f:2: unknown key "vantage": want vantages, exclude`},
		{"twice", head + "  - {name: j, targets: {hq: 10.0.0.1}}\n  - {name: j, targets: {hq: 10.0.0.1}}", "f:5: job \"j\" stands in line 4, too"},
		{"no targets", head + "  - name: j", "f:4: job \"j\" without targets"},
		{"an unknown place", head + "  - name: j\n    targets: {hq/wan: 10.0.0.1}", "f:5: targets of \"hq/wan\""},
		{"no address", head + "  - name: j\n    targets: {hq: [10.0.0.1, 10.0.0.300]}", "f:5: target \"10.0.0.300\""},
		{"a name of a host", head + "  - name: j\n    targets: {hq: printer.example.net}", "names are not looked up here"},
		{"a zone", head + "  - name: j\n    targets: {hq: \"fe80::1%eth0\"}", "has a zone"},
		{"public", head + "  - name: j\n    targets: {hq: 8.8.8.0/24}", "public address space"},
		{"too many", head + "  - name: j\n    targets: {hq: 10.0.0.0/8}", "more than a /12"},
		{"everything excluded", job("exclude: 10.0.0.0/8"), "excluded"},
		{"exclusion", job("exclude: 10.0.0.0/99"), "f:6: target \"10.0.0.0/99\""},
		{"ports", job("ports: 99999"), "f:6: port \"99999\""},
		{"cron", job("cron: 99 * * * *"), "f:6: cron \"99 * * * *\": field 1"},
		{"a cron that panics in other parsers", job(`cron: "TZ=0"`), "want five fields"},
		{"never", job("cron: 0 0 30 2 *"), "never comes"},
		{"every", job("every: 10s"), "f:6: every \"10s\""},
		{"both", job("every: 1h\n    cron: \"@daily\""), "want one of them"},
		{"time zone", job("time_zone: Mars/North"), "f:6: time_zone \"Mars/North\""},
		{"window", job("windows: [25:00-26:00]"), "f:6: window \"25:00-26:00\""},
		{"blackout", job("blackout: someday"), "f:6: blackout \"someday\""},
		{"deadline", job("deadline: 1s"), "f:6: deadline \"1s\": want 1m to 720h"},
		{"rate", job("rate: 0"), "f:6: rate \"0\""},
		{"host rate", job("host_rate: NaN"), "f:6: host_rate \"NaN\""},
		{"retries", job("retries: 999"), "f:6: retries \"999\""},
		{"shard size", job("shard_size: 0"), "f:6: shard_size \"0\""},
		{"yes or no", job("catch_up: maybe"), "f:6: catch_up \"maybe\": want true or false"},
		{"unknown key", job("speed: 9"), `f:6: unknown key "speed": want name, targets, exclude, yes, ports,`},
		{"a list for a word", job("cron: [a, b]"), "f:6: want a plain value"},
		{"a mapping for a list", job("ports: {a: b}"), "f:6: want a value or a list of values"},
		{"a format", job("outputs: x.docx"), "f:6: output"},
		{"braces", job("outputs: \"{what}.csv\""), "want only {site}"},
		{"one file for two places", head + "  - name: j\n    targets: {hq: 10.0.0.1}\n    outputs: \"{site}.csv\"", "is one file for hq/dmz and hq/lan"},
		{"notify", job("notify: nobody"), "f:6: notify: want a URL"},
		{"too many shards", head + "  - {name: j, targets: {hq: 10.0.0.0/12}, shard_size: 1}", "want at most 65536"},
		{"two documents", head + "---\nversion: 1", "a second document"},
	} {
		_, err := Parse("f", []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Parse = %v; want %q", tt.name, err, tt.want)
		} else if !strings.HasPrefix(err.Error(), "server: f") {
			t.Errorf("%s: %v does not name the file first", tt.name, err)
		}
	}
	_, err := Parse("f", []byte(head+"  - name: j\n    targets: {hq: 8.8.8.0/24}"))
	if n := strings.Count(err.Error(), "f:5: "); n != 1 {
		t.Errorf("one fault at two vantages is said %d times: %v", n, err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !os.IsNotExist(errorsRoot(err)) {
		t.Errorf("Load of no file = %v", err)
	}
}

// errorsRoot is the innermost error.
func errorsRoot(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return err
		}
		if _, path := err.(*os.PathError); path {
			return err
		}
		err = u.Unwrap()
	}
}

// FuzzParse: whatever is read is sound: names are names, nothing overlaps, what
// is excluded is not asked, and the work items are bounded.
func FuzzParse(f *testing.F) {
	f.Add(strings.ReplaceAll(whole, "\t", "  "))
	f.Add("version: 1\nsites: {a: {vantages: [b]}}\njobs:\n- {name: c, targets: {a: 10.0.0.0/30}, exclude: 10.0.0.1}")
	f.Fuzz(func(t *testing.T, text string) {
		jobs, err := Parse("f", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "server: f") {
				t.Errorf("%q does not name the file", err)
			}
			return
		}
		for _, p := range jobs.Places() {
			if err := p.Check(); err != nil {
				t.Error(err)
			}
		}
		for _, j := range jobs.Jobs {
			for i := range j.Asks {
				a := &j.Asks[i]
				if a.Addresses == 0 || a.Addresses > scanner.MaxTargets || addresses(a.Prefixes) != a.Addresses {
					t.Errorf("%s at %s asks %d addresses, %d in prefixes", j.Name, a.Place, a.Addresses, addresses(a.Prefixes))
				}
				last := netip.Prefix{}
				for _, p := range a.Prefixes {
					if last.IsValid() && last.Overlaps(p) {
						t.Errorf("%v and %v overlap", last, p)
					}
					last = p
				}
				if a.Addresses < 1<<16 && j.Shards(a) > maxShards {
					t.Errorf("%d shards", j.Shards(a))
				}
			}
		}
	})
}
