package registry

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ianaHeader = "Service Name,Port Number,Transport Protocol,Description,Assignee,Contact,Registration Date,Modification Date,Reference,Service Code,Unauthorized Use Reported,Assignment Notes\n"

const ianaSample = ianaHeader +
	",0,tcp,Reserved,,,,2024-12-20,[RFC6335],,,\n" +
	"http,80,tcp,World Wide Web HTTP,[W3C],[IESG],1994-10,2021-10-01,[RFC9110],,,Defined TXT keys\n" +
	"www,80,tcp,World Wide Web HTTP,[W3C],[IESG],,,,,,\"This is an alias\nof http\"\n" +
	",81,,Unassigned,,,,2007-09-06,,,,\n" +
	"x11,6000-6063,tcp,X Window System,[Stephen_Gildea],[Stephen_Gildea],,,,,,\n" +
	"own,6001,tcp,inside a range,,,,,,,,\n" +
	"discard,9,sctp,Discard,,,,,,,,\n" +
	"arp,,,Address Resolution Protocol,,,,,,,,\n"

func parsed(t testing.TB, text string) *IANA {
	t.Helper()
	n, err := ParseIANA(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestParseIANA(t *testing.T) {
	n := parsed(t, "\ufeff"+ianaSample)
	names := func(p Port) (names []string) {
		for _, r := range n.Lookup(p) {
			names = append(names, r.Service)
		}
		return names
	}
	for _, tt := range []struct {
		port Port
		want []string
	}{
		{Port{80, TCP}, []string{"http", "www"}},
		{Port{80, UDP}, nil},
		{Port{81, UDP}, []string{""}},
		{Port{6000, TCP}, []string{"x11"}},
		{Port{6063, TCP}, []string{"x11"}},
		{Port{6064, TCP}, nil},
		{Port{6001, TCP}, []string{"own", "x11"}},
		{Port{9, TCP}, nil}, // sctp only
	} {
		if d := cmp.Diff(tt.want, names(tt.port)); d != "" {
			t.Errorf("names of %v (-want +got):\n%s", tt.port, d)
		}
	}
	if n.Len() != 5 {
		t.Errorf("Len = %d, want 5: port 0, sctp and rows without a port are passed over", n.Len())
	}
	want := Registration{Service: "www", First: 80, Last: 80, Proto: TCP, Description: "World Wide Web HTTP",
		Assignee: "[W3C]", Contact: "[IESG]", Notes: "This is an alias of http"}
	if d := cmp.Diff(want, n.Lookup(Port{80, TCP})[1]); d != "" {
		t.Errorf("second row of 80/tcp (-want +got):\n%s", d)
	}
}

func TestParseIANAFaults(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "registry: IANA list: line 1: empty: want the header Service Name,Port Number,…"},
		{"other columns", strings.Replace(ianaHeader, "Contact", "Owner", 1) + "x,1,tcp,,,,,,,,,\n",
			`registry: IANA list: line 1: column 6 is "Owner": want "Contact"`},
		{"few columns", "port,name\n", "registry: IANA list: line 1: want the 12 columns that IANA publishes"},
		{"short row", ianaSample + "y,2,tcp\n", "registry: IANA list: line 11: want the 12 columns that IANA publishes"},
		{"cut short", ianaSample + "y,2,tc", "registry: IANA list: line 11: the list ends in the middle of this row: want the whole file"},
		{"cut in a quote", ianaSample + "y,2,tcp,\"two\nlin", "registry: IANA list: line 11: the list ends in the middle of this row: want the whole file"},
		{"port beyond range", ianaSample + "y,65536,tcp,,,,,,,,,\n",
			`registry: IANA list: line 11: port number "65536": want a number up to 65535, or a range like 6000-6063`},
		{"reversed range", ianaHeader + "y,9-8,tcp,,,,,,,,,\n",
			`registry: IANA list: line 2: port number "9-8": want a number up to 65535, or a range like 6000-6063`},
		{"unknown transport", ianaHeader + "y,9,ipx,,,,,,,,,\n",
			`registry: IANA list: line 2: transport "ipx": want tcp, udp, sctp, dccp or nothing`},
		{"open quote", ianaHeader + "y,9,tcp,\"open,,,,,,,,\n", `registry: IANA list: line 2, column 23: extraneous or missing " in quoted-field`},
		{"no port", ianaHeader + "arp,,,x,,,,,,,,\n", "registry: IANA list: no row with a tcp or udp port"},
		{"not text", ianaHeader + "y,9,tcp,\xff\xfe,,,,,,,,\n", `registry: IANA list: line 2: Description "\xff\xfe": want UTF-8`},
	} {
		n, err := ParseIANA(strings.NewReader(tt.text))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: ParseIANA = %v, %v\nwant %s", tt.name, n, err, tt.want)
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "dormant", "iana.csv")
	if _, err := LoadIANA(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadIANA of no file = %v, want fs.ErrNotExist", err)
	}
	n := parsed(t, ianaSample)
	for range 2 { // a second import replaces the first
		if err := n.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	got, err := LoadIANA(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(n.rows, got.rows); d != "" {
		t.Errorf("rows after Save and LoadIANA (-want +got):\n%s", d)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files beside the list, want none", len(left)-1)
	}
	if err := n.Save(filepath.Join(path, "below", "a-file")); err == nil {
		t.Error("Save below a file = nil, want an error")
	}
}

func TestNilIANA(t *testing.T) {
	var n *IANA
	if n.Len() != 0 || n.Lookup(Port{80, TCP}) != nil {
		t.Error("a nil list is not empty")
	}
}

// TestImportWins: the list that the user imported is newer than a dossier.
func TestImportWins(t *testing.T) {
	n := parsed(t, ianaHeader+"renamed,3588,tcp,New,,,,,,,,\n")
	r := builtIn(t).WithIANA(n)
	if got := r.Name(Port{3588, TCP}); got != "renamed" {
		t.Errorf("Name(3588/tcp) = %q, want the imported name", got)
	}
	if got := r.Name(Port{3588, UDP}); got != "sentinel" {
		t.Errorf("Name(3588/udp) = %q, want the dossier's: the list does not know it", got)
	}
	if got := r.Overlay(&Registry{}).Name(Port{3588, TCP}); got != "renamed" {
		t.Errorf("after an overlay Name(3588/tcp) = %q, want the import kept", got)
	}
}

// FuzzParseIANA: a list that is accepted survives Encode and ParseIANA, and an
// error is one line.
func FuzzParseIANA(f *testing.F) {
	f.Add([]byte(ianaSample))
	f.Add([]byte(ianaHeader + "\"a\nb\",1-65535,,\"x\"\"y\",,,,,,,,\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := ParseIANA(bytes.NewReader(text))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of more than one line: %q", err)
			}
			return
		}
		for _, r := range n.rows {
			if r.First == 0 && r.Last == 0 || r.First > r.Last {
				t.Errorf("row with the range %d-%d", r.First, r.Last)
			}
		}
		var out bytes.Buffer
		if err := n.Encode(&out); err != nil {
			t.Fatal(err)
		}
		again, err := ParseIANA(&out)
		if err != nil {
			t.Fatalf("ParseIANA of Encode: %v", err)
		}
		if d := cmp.Diff(n.rows, again.rows); d != "" {
			t.Errorf("rows after a round trip (-want +got):\n%s", d)
		}
	})
}

func BenchmarkParseIANA(b *testing.B) {
	var text strings.Builder
	text.WriteString(ianaHeader)
	for range 12000 {
		text.WriteString("sentinelsrm,1947,tcp,SentinelSRM,[Michael_Zunke_2],[Michael_Zunke_2],2010-07-23,,,,Unauthorized Use Known on port 1947,\n")
	}
	b.ReportAllocs()
	for b.Loop() {
		parsed(b, text.String())
	}
}
