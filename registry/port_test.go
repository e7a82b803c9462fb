package registry

import "testing"

func TestParsePort(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Port
		ok   bool
	}{
		{in: "1947/tcp", want: Port{1947, TCP}, ok: true},
		{in: "65535/udp", want: Port{65535, UDP}, ok: true},
		{in: "0/tcp"}, {in: "01947/tcp"}, {in: "+1/tcp"}, {in: "-1/tcp"}, {in: "1947/TCP"}, {in: "65536/udp"},
		{in: "1947"}, {in: ""}, {in: "/tcp"}, {in: "1947/"}, {in: "1947/tcp/"}, {in: "1947 /tcp"},
	} {
		got, err := ParsePort(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("ParsePort(%q) = %v, %v; want %v, ok %t", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

// FuzzParsePort: what is accepted is written back the same.
func FuzzParsePort(f *testing.F) {
	f.Add("1947/tcp")
	f.Add("5093/udp")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePort(s)
		if err == nil && (p.String() != s || p.Number == 0) {
			t.Errorf("ParsePort(%q) = %v", s, p)
		}
	})
}

func TestProtoText(t *testing.T) {
	for _, p := range []Proto{0, TCP, UDP} {
		text, err := p.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got Proto
		if err := got.UnmarshalText(text); err != nil || got != p {
			t.Errorf("UnmarshalText(%q) = %v, %v; want %v", text, got, err, p)
		}
	}
	var p Proto
	if err := p.UnmarshalText([]byte("sctp")); err == nil {
		t.Error(`UnmarshalText("sctp") = nil, want an error`)
	}
}
