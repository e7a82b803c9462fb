package fingerprint

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLatin1(t *testing.T) {
	for b := range 256 {
		if got := latin1([]byte{byte(b)}); got != string(rune(b)) {
			t.Errorf("latin1(%#x) = %q", b, got)
		}
	}
	for _, tt := range []struct {
		name, pattern, data string
		want                bool
	}{
		{"byte", `\A\x05\x00`, "\x05\x00", true},
		{"high byte", `\A\xff\xfe\z`, "\xff\xfe", true},
		{"high byte, not its UTF-8 form", `\A\xff\z`, "ÿ", false},
		{"character beyond ASCII is its bytes", `登录`, "Supershell - 登录", true},
		{"quantifier holds for the whole character", `\A登{2}\z`, "登登", true},
		{"class of high bytes", `\A[\x80-\xff]+\z`, "\x80\xff", true},
		{"dot is one byte", `(?s)\A.\z`, "\xe7", true},
	} {
		text, err := latin1Pattern(tt.pattern)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := regexp.MustCompile(text).MatchString(latin1([]byte(tt.data))); got != tt.want {
			t.Errorf("%s: %q matches %q = %t, want %t", tt.name, tt.pattern, tt.data, got, tt.want)
		}
	}
	if _, err := latin1Pattern(`[ä]`); err == nil {
		t.Error("a character beyond ASCII inside a class was accepted")
	}
}

// FuzzPattern: a value without any of the required texts never matches, what
// is accepted never matches nothing, and all that parses compiles.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{`(?i)\Anginx(?:/(?P<version>[0-9.]+))?`, `foo|barbaz`, `(?i:HaSp) LM`, `(abc)+d?`, `a{2,}bcd`, `(?:x|)yz`, `\xe7foo`, `\bx*`} {
		f.Add(p, []byte("NGINX/1.2 hasp LM foo abcabc"))
	}
	f.Fuzz(func(t *testing.T, source string, data []byte) {
		p, err := newPattern(source)
		if err != nil {
			return
		}
		v := fieldValue{text: latin1(data), lower: new(string)}
		if p.compile().MatchString(v.text) && !p.possible(v) {
			t.Errorf("%q matches %q, and none of %v is in it", source, data, p.literals)
		}
		if p.compile().MatchString("") {
			t.Errorf("%q matches the empty text", source)
		}
	})
}

func TestFields(t *testing.T) {
	ex := Exchange{
		Conn: 1, Probe: ProbeGet10, End: EndFin, FirstByte: 12 * time.Millisecond, Elapsed: 15 * time.Millisecond,
		Received: []byte("HTTP/1.1 404 Not Found\r\nServer: a\r\nSet-Cookie: x=1\r\nSet-Cookie: y=2\r\n\r\n<title>T</title>"),
	}
	got := map[string][]string{}
	s := newSubject(ex, nil, nil)
	for _, field := range []string{
		"status", "code", "header:server", "header:set-cookie", "header:date", "body", "title", "length", "end",
		"first_byte_ms", "elapsed_ms", "body:sha1", "cert:subject", "alpn",
	} {
		for _, v := range s.values(field) {
			got[field] = append(got[field], v.text)
		}
	}
	want := map[string][]string{
		"status": {"HTTP/1.1 404 Not Found"}, "code": {"404"}, "header:server": {"a"}, "header:set-cookie": {"x=1", "y=2"},
		"body": {"<title>T</title>"}, "title": {"T"}, "length": {"87"}, "end": {"fin"}, "first_byte_ms": {"12"}, "elapsed_ms": {"15"},
		"body:sha1": {"116af8768390b8e2e1c4c4faaa5a0eb2ced2133c"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("fields (-want +got):\n%s", d)
	}
}

// TestHashes holds murmur3 against values published for MurmurHash3_x86_32.
func TestHashes(t *testing.T) {
	for _, tt := range []struct {
		data string
		want uint32
	}{
		{"", 0}, {"test", 0xba6bd213}, {"Hello, world!", 0xc0363e43}, {"The quick brown fox jumps over the lazy dog", 0x2e4ff723},
		{"hello", 0x248bfa47},
	} {
		if got := murmur3([]byte(tt.data)); got != tt.want {
			t.Errorf("murmur3(%q) = %#x, want %#x", tt.data, got, tt.want)
		}
	}
}

func TestConditions(t *testing.T) {
	number := func(n int) *int { return &n }
	text := func(s string) *string { return &s }
	for _, tt := range []struct {
		name  string
		file  conditionFile
		value string
		want  bool
	}{
		{"equals", conditionFile{Field: "data", Equals: text("ab")}, "ab", true},
		{"equals less", conditionFile{Field: "data", Equals: text("ab")}, "abc", false},
		{"contains", conditionFile{Field: "data", Contains: text("b")}, "abc", true},
		{"hex prefix", conditionFile{Field: "data", Hex: text("05 ?? ff")}, "\x05\x00\xff\x01", true},
		{"hex, value too short", conditionFile{Field: "data", Hex: text("05 00 ff")}, "\x05\x00", false},
		{"hex, other byte", conditionFile{Field: "data", Hex: text("05 00")}, "\x05\x01", false},
		{"hex, high byte", conditionFile{Field: "data", Hex: text("fe53")}, "\xfeS", true},
		{"pattern", conditionFile{Field: "data", Pattern: text(`\A\xfeS`)}, "\xfeSMB", true},
		{"min", conditionFile{Field: "length", Min: number(3)}, "3", true},
		{"below min", conditionFile{Field: "length", Min: number(3)}, "2", false},
		{"above max", conditionFile{Field: "length", Min: number(1), Max: number(3)}, "4", false},
		{"no number", conditionFile{Field: "length", Max: number(3)}, "x", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := tt.file.condition()
			if err != nil {
				t.Fatal(err)
			}
			if _, _, got := c.test(fieldValue{text: latin1([]byte(tt.value)), lower: new(string)}); got != tt.want {
				t.Errorf("test(%q) = %t, want %t", tt.value, got, tt.want)
			}
		})
	}
}

func TestExtract(t *testing.T) {
	for _, tt := range []struct{ name, kind, text, want string }{
		{"version", "version", "1.22.1", "1.22.1"},
		{"version with letters", "version", "v2.0-rc1", "v2.0-rc1"},
		{"version that is none", "version", "unknown", ""},
		{"version that is a formula", "version", `=1+1`, ""},
		{"version with a tag", "version", "1<script>", ""},
		{"version with a byte", "version", "1\x1b[31m", ""},
		{"host name", "hostname", "LIC-SRV_01.example", "LIC-SRV_01.example"},
		{"host name with quotes", "hostname", `a"b`, ""},
		{"product with control bytes", "product", "a\x00\r\nb", `a\x00\r\nb`},
		{"long", "product", strings.Repeat("x", 100), strings.Repeat("x", 80)},
		{"cut outside an escape", "product", strings.Repeat("x", 78) + "\x01", strings.Repeat("x", 78)},
	} {
		if got := value(tt.kind, latin1([]byte(tt.text))); got != tt.want {
			t.Errorf("%s: value(%q) = %q, want %q", tt.name, tt.text, got, tt.want)
		}
	}
	if got, want := fill("P {edition} {version}", map[string]string{"version": "1"}), "P 1"; got != want {
		t.Errorf("fill = %q, want %q", got, want)
	}
	const cpe = "cpe:2.3:a:v:p:{version}:*:*:*:*:*:*:*"
	for version, want := range map[string]string{
		"1.2": "cpe:2.3:a:v:p:1.2:*:*:*:*:*:*:*", "": "cpe:2.3:a:v:p:*:*:*:*:*:*:*:*", "1:2": `cpe:2.3:a:v:p:1\:2:*:*:*:*:*:*:*`,
	} {
		if got := fillCPE(cpe, map[string]string{"version": version}); got != want {
			t.Errorf("fillCPE(%q) = %q, want %q", version, got, want)
		}
	}
}

// FuzzExcerpt: whatever a peer sent, a report gets one line of printable ASCII.
func FuzzExcerpt(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\n\x1b[31m<script>=cmd|' /C calc'!A0"))
	f.Add([]byte{0xff, 0, '\\', 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, s := range []string{
			excerpt(latin1(data)), value("product", latin1(data)), value("version", latin1(data)), value("hostname", latin1(data)),
		} {
			if len(s) > maxExcerpt || strings.Trim(s, " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "" {
				t.Errorf("%x gives %q (%d bytes)", data, s, len(s))
			}
		}
	})
}
