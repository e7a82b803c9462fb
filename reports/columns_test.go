package reports

import (
	"encoding/csv"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"

	"github.com/google/go-cmp/cmp"
)

// schemaV1 is the contract as it was published: 44 columns.
const schemaV1 = "schema,scan_id,site,vantage,observed_at,ip,hostname,mac,mac_vendor,transport,port,iana_name,state,reason," +
	"reason_ip,ttl,rtt_ms,probes_sent,probes_answered,confirmed,service,product,version,cpe,verdict,confidence,rule_id,evidence," +
	"evidence_id,tls_cn,tls_cert,jarm,severity,flags,change,first_seen,last_seen,owner,expected,ticket,fw_effect,fw_rule,clients,note"

func TestHeaderIsSchemaV1(t *testing.T) {
	if d := cmp.Diff(strings.Split(schemaV1, ","), Header()); d != "" {
		t.Errorf("header (-want +got):\n%s", d)
	}
	if n := len(Header()); n != 44 {
		t.Errorf("%d columns, want 44", n)
	}
}

// TestEveryFieldHasAColumn sets one field of Finding after the other: exactly
// the column at its place may change.
func TestEveryFieldHasAColumn(t *testing.T) {
	cols := columns()
	typ := reflect.TypeFor[Finding]()
	if typ.Field(len(cols)).Name != "Full" {
		t.Fatalf("%d columns, and the field behind the last is %s: want Full", len(cols), typ.Field(len(cols)).Name)
	}
	empty := Finding{}
	for i := range cols {
		f := Finding{}
		set(t, reflect.ValueOf(&f).Elem().Field(i))
		for k := range cols {
			changed := cols[k].cell(&f) != cols[k].cell(&empty)
			if cols[i].name == "verdict" && cols[k].name == "confidence" {
				continue // printed, even 0, as soon as there is a verdict
			}
			if changed != (k == i) {
				t.Errorf("field %s set: column %s changed is %t", typ.Field(i).Name, cols[k].name, changed)
			}
		}
		want := strings.ReplaceAll(cols[i].name, "_", "")
		if got := strings.ToLower(typ.Field(i).Name); got != want && !slices.Contains([]string{"rtt", "tlsname"}, got) {
			t.Errorf("column %d is %s, the field there is %s", i, cols[i].name, typ.Field(i).Name)
		}
	}
}

func set(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("10.0.0.1")))
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1, 0)))
	case []string:
		v.Set(reflect.ValueOf([]string{"flag"}))
	case string:
		v.SetString("text")
	case registry.Proto:
		v.SetUint(uint64(registry.TCP))
	case scanner.State, scanner.Reason, fingerprint.Class, uint8, uint16:
		v.SetUint(3)
	case int, time.Duration:
		v.SetInt(5_000_000)
	default:
		t.Fatalf("no value for a field of type %s", v.Type())
	}
}

func TestCells(t *testing.T) {
	f := Finding{
		Version: "8.10", RTT: 1234567 * time.Nanosecond, JARM: "27d", TLSCert: "9f2c", EvidenceID: "sha256:00", Clients: -1,
		ObservedAt: time.Date(2026, 11, 22, 4, 47, 0, 120_999_000, time.FixedZone("", 3600)), Flags: []string{"a", "b|c"},
		Verdict: fingerprint.Tarpit, IP: netip.MustParseAddr("10.0.1.20"), Port: 1947, Transport: registry.TCP,
	}
	want := map[string]string{
		"version": "v8.10", "rtt_ms": "1.235", "jarm": "jarm:27d", "tls_cert": "sha256:9f2c", "evidence_id": "sha256:00", "clients": "",
		"observed_at": "2026-11-22T03:47:00.120Z", "flags": `a|b\x7cc`, "confidence": "0", "ip": "10.0.1.20", "port": "1947",
		"ttl": "", "first_seen": "", "reason_ip": "", "transport": "tcp", "ip_sort": "010.000.001.020",
	}
	got := map[string]string{}
	for _, c := range append(columns(), helpers()...) {
		if _, ok := want[c.name]; ok {
			got[c.name] = c.cell(&f)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("cells (-want +got):\n%s", d)
	}
}

func TestEscape(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		limit          int
	}{
		{name: "plain", in: "HASP LM/18.00", want: "HASP LM/18.00", limit: 20},
		{name: "control", in: "a\x1b[2J\r\n\x00", want: `a\x1b[2J\x0d\x0a\x00`, limit: 40},
		{name: "utf-8", in: "é", want: `\xc3\xa9`, limit: 40},
		{name: "invalid utf-8", in: "\xff", want: `\xff`, limit: 40},
		{name: "escaped already", in: `\xff`, want: `\xff`, limit: 40},
		{name: "as long as it may be", in: "12345678", want: "12345678", limit: 8},
		{name: "one too long", in: "123456789", want: "12345...", limit: 8},
		{name: "an escape is not cut", in: "123\xff\xff", want: `123...`, limit: 8},
		{name: "one that was there is not cut", in: `123\xff\xff`, want: `123...`, limit: 8},
		{name: "nor behind its backslash", in: `1234\nabc`, want: `1234...`, limit: 8},
		{name: "an escape just fits", in: "1234\xff", want: `1234\xff`, limit: 8},
	} {
		if got := escape(tt.in, tt.limit); got != tt.want {
			t.Errorf("%s: escape(%q, %d) = %q, want %q", tt.name, tt.in, tt.limit, got, tt.want)
		}
	}
}

func TestCellNeutralisesFormulas(t *testing.T) {
	for in, want := range map[string]string{
		"=1": "'=1", "+1": "'+1", "-1": "'-1", "@a": "'@a", "\t=1": `'\x09=1`, "\r": `'\x0d`, "\n": `'\x0a`, "\x00": `'\x00`,
		"\uff1d1": `'\xef\xbc\x9d1`, "  =1": "'  =1", "a=1": "a=1", "a;=1": "a;'=1", "a, -1": "a,' -1", "a,b": "a,b", "": "", "'=1": "'=1",
	} {
		if got := cell(in, maxText); got != want {
			t.Errorf("cell(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzCell holds what every cell promises, whatever a peer sent.
func FuzzCell(f *testing.F) {
	for _, s := range []string{"=1+1", "a;=1", "\u009b31m", "\xff\xfe", "\t@x", `","=1`, strings.Repeat("é", 300), "  -1", `\.`, `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := cell(s, maxText)
		if !printable(got) || len(got) > maxText {
			t.Fatalf("cell(%q) = %q: want at most %d bytes of printable ASCII", s, got, maxText)
		}
		if again := cell(got, maxText); again != got {
			t.Fatalf("cell(%q) = %q, and again %q", s, got, again)
		}
		for _, part := range strings.FieldsFunc(got, func(r rune) bool { return r == ',' || r == ';' }) {
			if part = strings.TrimLeft(part, " "); part != "" && strings.ContainsRune("=+-@", rune(part[0])) {
				t.Fatalf("cell(%q) = %q: %q is a formula", s, got, part)
			}
		}
		for _, comma := range []rune{',', ';', '\t', '|'} {
			row := []string{"before", got, "behind"}
			var b strings.Builder
			w := csv.NewWriter(&b)
			w.Comma, w.UseCRLF = comma, true
			if err := w.WriteAll([][]string{row}); err != nil {
				t.Fatal(err)
			}
			r := csv.NewReader(strings.NewReader(b.String()))
			r.Comma = comma
			back, err := r.Read()
			if err != nil || !slices.Equal(back, row) {
				t.Fatalf("cell(%q) with %q reads back as %q, %v", s, comma, back, err)
			}
		}
	})
}

func TestChosenColumns(t *testing.T) {
	for _, tt := range []struct {
		name  string
		names []string
		want  int
		err   string
	}{
		{name: "none is all", want: 44},
		{name: "order and helper", names: []string{"port", "ip_sort", "ip"}, want: 3},
		{name: "unknown", names: []string{"prot"}, err: `column "prot": want one of schema, scan_id,`},
		{name: "twice", names: []string{"ip", "ip"}, err: `column "ip" is named twice`},
	} {
		cols, err := chosen(tt.names)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: error = %v, want %q", tt.name, err, tt.err)
		}
		if len(cols) != tt.want {
			t.Errorf("%s: %d columns, want %d", tt.name, len(cols), tt.want)
		}
	}
}
