package fleet

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/s2"

	"dormant/cmd/internal/pipeline"
	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

const attempt = "0192f0c1-7e5b-7d62-9f38-6a3f6a2f1c55"

func at(second int) time.Time { return time.Date(2026, 11, 22, 10, 0, second, 123456789, time.UTC) }

func lm() scanner.Target {
	return scanner.Target{Addr: netip.MustParseAddr("10.1.4.20"), Port: registry.Port{Number: 1947, Proto: registry.TCP}}
}

// result has every field set, with bytes that no text holds.
func result() pipeline.Result {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return pipeline.Result{
		Observation: scanner.Observation{
			Target: lm(), State: scanner.Open, Reason: scanner.SynAck, From: lm().Addr, TTL: 63, RTT: 1234567 * time.Nanosecond,
			At: at(1), Payload: all, MAC: []byte{2, 0, 0xff, 0xfe, 0, 1}, Window: 29200, Attempt: 2, Sent: 3,
		},
		Evidence: &fingerprint.Evidence{
			Target: lm(), Started: at(2), Status: fingerprint.StatusDone,
			Exchanges: []fingerprint.Exchange{{
				Conn: 1, Probe: fingerprint.ProbeGet11, Inside: true, At: 5 * time.Millisecond, Sent: []byte("GET"), Received: all,
				Chunks: []fingerprint.Chunk{{At: time.Millisecond, Bytes: 256}}, End: fingerprint.EndFin, Connect: 1, FirstByte: 2, Elapsed: 3,
				TCP:   &fingerprint.TCPInfo{Unacked: 1, Retrans: 2, BytesAcked: 1 << 40, SendWindow: 5, HasSendWnd: true, RTT: 7, ZeroWinProbe: true},
				TLS:   &fingerprint.TLSInfo{Version: "TLS 1.3", Cipher: "x", ALPN: "h2", Chain: [][]byte{all, {0}}, WantCert: true, JARM: "j"},
				Error: "reset",
			}},
			Host:        fingerprint.HostContext{CanariesAsked: 3, CanariesOpen: 1},
			Connections: 2, BytesSent: 3, BytesReceived: 256, Elapsed: time.Second,
		},
		Cut: true, Fragile: true,
	}
}

func part() Message {
	return Message{Version: Version, Part: &Part{Run: "R-1", Shard: 2, Attempt: attempt, Number: 1, Results: []pipeline.Result{
		result(),
		{Observation: scanner.Observation{
			Target: scanner.Target{Addr: netip.MustParseAddr("fd00::1"), Port: registry.Port{Number: 5093, Proto: registry.UDP}},
			State:  scanner.OpenFiltered, Reason: scanner.NoResponse, At: at(3),
		}},
	}}}
}

func done() Message {
	return Message{Version: Version, Done: &Done{
		Run: "R-1", Shard: 2, Attempt: attempt, Agent: "hq-1", Parts: 3,
		Outcome: pipeline.Outcome{
			Scan:     scanner.Summary{Started: at(0), Finished: at(9), Targets: math.MaxUint64, Rate: 999.5, Complete: false, Why: []string{"3 answers were lost"}, Parts: 1},
			Identify: reports.Identification{Ports: 4, Done: 3, Talked: time.Hour},
			Lost:     3,
		},
		Started: at(0), Finished: at(9), Spared: []netip.Prefix{netip.MustParsePrefix("10.1.4.64/26")}, Rate: 1000, Backend: "afpacket", Fault: "no route",
	}}
}

func shard() Shard {
	return Shard{
		Version: Version, Run: "R-1", Job: "monthly", Number: 1, Of: 3, Place: Place{Site: "hq", Vantage: "lan"},
		Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.4.0/24"), netip.MustParsePrefix("fd00::/120")},
		Ports:    []registry.Port{{Number: 1947, Proto: registry.TCP}, {Number: 5093, Proto: registry.UDP}},
		Seed:     math.MaxUint64, Rate: 1000, HostRate: 20, Retries: 2, NoIdentify: true, Deep: true, Until: at(59),
	}
}

// same compares messages: addresses and times by their meaning.
func same() cmp.Options {
	return cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	big := part()
	for i := range 100 {
		r := result()
		r.Addr = netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)})
		r.Evidence.Target = r.Target
		big.Part.Results = append(big.Part.Results, r)
	}
	for _, tt := range []struct {
		name string
		m    Message
	}{{"part", part()}, {"done", done()}, {"big", big}} {
		data, err := Encode(tt.m)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if d := cmp.Diff(tt.m, got, same()); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
		if plain, _ := json.Marshal(tt.m); len(plain) > packFrom && len(data) >= len(plain) {
			t.Errorf("%s: %d bytes, not packed %d", tt.name, len(data), len(plain))
		}
	}
}

func TestShardsComeBackAsTheyWere(t *testing.T) {
	for _, n := range []int{0, 4000} {
		want := shard()
		for i := range n {
			want.Prefixes = append(want.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24))
		}
		data, err := EncodeShard(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeShard(data)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, same()); d != "" {
			t.Errorf("with %d prefixes (-want +got):\n%s", n, d)
		}
	}
}

func TestSmallComeBackAsTheyWere(t *testing.T) {
	want := Beat{
		Version: Version, Program: "1.2", Host: "h", Backend: "connect", Now: at(1), Skew: -3 * time.Hour, Run: "R", Shard: 1,
		Sent: 1, Total: 2, Open: 3, Waits: 4, Fault: "no privilege", Leaves: true,
	}
	data, err := EncodeSmall(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeSmall[Beat](data)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if _, err := DecodeSmall[Hello]([]byte(`{"host":"` + strings.Repeat("a", maxSmall) + `"}`)); !errors.Is(err, ErrForeign) {
		t.Errorf("a hello of 64 KiB: %v; want it refused", err)
	}
}

// pack is what a hostile peer would send: packed, whatever it holds.
func pack(plain []byte) []byte { return append([]byte{packed}, s2.Encode(nil, plain)...) }

// TestForeignMessages: also what JetStream itself can be made to publish on a
// subject of results, by the trick with the reply.
func TestForeignMessages(t *testing.T) {
	work, err := EncodeShard(shard())
	if err != nil {
		t.Fatal(err)
	}
	both := part()
	both.Done = done().Done
	bad := func(change func(*Message)) []byte {
		m := part()
		change(&m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	end := func(change func(*Done)) []byte {
		return bad(func(m *Message) { *m = done(); change(m.Done) })
	}
	for _, tt := range []struct {
		name string
		in   []byte
	}{
		{"nothing", nil},
		{"no JSON", []byte("hello")},
		{"an acknowledgement of JetStream", []byte(`{"stream":"DORMANT_RESULT","seq":1}`)},
		{"an answer of JetStream", []byte(`{"type":"io.nats.jetstream.api.v1.consumer_info_response","stream_name":"DORMANT_WORK","name":"hq_lan"}`)},
		{"a shard", work},
		{"null", []byte("null")},
		{"neither part nor done", []byte(`{"version":1}`)},
		{"both", bad(func(m *Message) { *m = both })},
		{"another version", bad(func(m *Message) { m.Version = 2 })},
		{"a run with a dot", bad(func(m *Message) { m.Part.Run = "a.b" })},
		{"a run of a wildcard", bad(func(m *Message) { m.Part.Run = "*" })},
		{"an attempt that is guessed", bad(func(m *Message) { m.Part.Attempt = "1" })},
		{"part 0", bad(func(m *Message) { m.Part.Number = 0 })},
		{"more parts than a shard has", bad(func(m *Message) { m.Part.Number = 1<<16 + 1 })},
		{"the end of more parts than a shard has", end(func(d *Done) { d.Parts = 1<<16 + 1 })},
		{"the end of less than no part", end(func(d *Done) { d.Parts = -1 })},
		{"the end at less than no rate", end(func(d *Done) { d.Rate = -1 })},
		{"the end of an attempt that is guessed", end(func(d *Done) { d.Attempt = "1" })},
		{"the end with a long fault", end(func(d *Done) { d.Fault = strings.Repeat("x", 1<<10+1) })},
		{"shard -1", bad(func(m *Message) { m.Part.Shard = -1 })},
		{"the end of shard 0", end(func(d *Done) { d.Shard = 0 })},
		{"the end of a shard beyond any", end(func(d *Done) { d.Shard = 1<<20 + 1 })},
		{"no results", bad(func(m *Message) { m.Part.Results = nil })},
		{"no address", bad(func(m *Message) { m.Part.Results[1].Addr = netip.Addr{} })},
		{"an address with a zone", bad(func(m *Message) { m.Part.Results[1].Addr = netip.MustParseAddr("fe80::1%eth0") })},
		{"a mapped address", bad(func(m *Message) { m.Part.Results[1].Addr = netip.MustParseAddr("::ffff:10.0.0.1") })},
		{"no state", []byte(strings.Replace(string(bad(func(*Message) {})), `"State":"open_filtered"`, `"State":""`, 1))},
		{"no reason", []byte(strings.Replace(string(bad(func(*Message) {})), `"Reason":"no-response",`, ``, 1))},
		{"port 0", bad(func(m *Message) { m.Part.Results[1].Port.Number = 0 })},
		{"a dialogue with another", bad(func(m *Message) { m.Part.Results[0].Evidence.Target.Port.Number = 22 })},
		{"a reply beyond any", bad(func(m *Message) { m.Part.Results[0].Payload = make([]byte, scanner.MaxPayload+1) })},
		{"cut", pack(bad(func(*Message) {}))[:200]},
		{"packed twice", pack(pack(bad(func(*Message) {})))},
		{"claims to be endless", []byte{packed, 0xff, 0xff, 0xff, 0xff, 0x0f, 0}},
		{"a bomb", pack(bytes.Repeat([]byte(" "), MaxDecoded+1))},
		{"longer than a message", append([]byte(`{"version":1,"x":"`), make([]byte, MaxPayload)...)},
	} {
		if m, err := Decode(tt.in); !errors.Is(err, ErrForeign) || m.Part != nil || m.Done != nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: Decode = %+v, %v; want ErrForeign alone, in one line", tt.name, m, err)
		}
	}
}

// TestWhatIsClaimedCostsNothing: a few bytes that say of themselves that they are a
// gigabyte are refused before there is room made for it; what is small is not
// packed, so that people can read it, and what is too long is not sent.
func TestWhatIsClaimedCostsNothing(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Decode(binary.AppendUvarint([]byte{packed}, 1<<30))
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrForeign) || n > 1<<20 {
		t.Errorf("Decode took %d bytes, %v; want less than 1 MiB, and ErrForeign", n, err)
	}
	if data, err := EncodeSmall(Beat{Fault: strings.Repeat("x", packFrom/2)}); err != nil || data[0] != '{' {
		t.Errorf("a small beat is %.20q, %v; want plain JSON", data, err)
	}
	if _, err := EncodeSmall(Beat{Fault: strings.Repeat("x", maxSmall)}); err == nil {
		t.Error("a beat that nobody reads is encoded")
	}
}

// TestNewerAgent: what a later version says in a field, a reason or a status of
// its own loses no answer; a state of its own is another Version.
func TestNewerAgent(t *testing.T) {
	b, err := json.Marshal(part())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, old, new string
		change         func(*Message) // what is read all the same; nil for nothing
	}{
		{"a field", `"number":1,`, `"number":1,"later":[1],`, func(*Message) {}},
		{"a reason", `"no-response"`, `"icmp-9-9"`, func(m *Message) { m.Part.Results[1].Reason = scanner.OtherReason }},
		{"a status", `"status":"done"`, `"status":"later"`, func(m *Message) { m.Part.Results[0].Evidence.Status = "later" }},
		{"a state", `"open_filtered"`, `"half_open"`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(string(b), tt.old, tt.new, 1)
			if text == string(b) {
				t.Fatalf("no %s in the message", tt.old)
			}
			got, err := Decode([]byte(text))
			if tt.change == nil {
				if !errors.Is(err, ErrForeign) {
					t.Fatalf("Decode = %v; want ErrForeign", err)
				}
				return
			}
			want := part()
			tt.change(&want)
			if d := cmp.Diff(want, got, same()); d != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
		})
	}
}

func TestForeignShards(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Shard)
	}{
		{"version", func(s *Shard) { s.Version = 0 }},
		{"run", func(s *Shard) { s.Run = "" }},
		{"site", func(s *Shard) { s.Site = "*" }},
		{"vantage", func(s *Shard) { s.Vantage = "a b" }},
		{"number", func(s *Shard) { s.Number = 4 }},
		{"no prefix", func(s *Shard) { s.Prefixes = nil }},
		{"host bits", func(s *Shard) { s.Prefixes[0] = netip.MustParsePrefix("10.1.4.1/24") }},
		{"no ports", func(s *Shard) { s.Ports = nil }},
		{"port 0", func(s *Shard) { s.Ports[0].Number = 0 }},
		{"protocol", func(s *Shard) { s.Ports[0].Proto = 1 }},
		{"rate", func(s *Shard) { s.Rate = -1 }},
		{"no number as a rate", func(s *Shard) { s.HostRate = math.NaN() }},
		{"endless rate", func(s *Shard) { s.Rate = math.Inf(1) }},
		{"retries", func(s *Shard) { s.Retries = 1 << 30 }},
	} {
		s := shard()
		tt.change(&s)
		if _, err := EncodeShard(s); err == nil {
			t.Errorf("%s: a shard that is none is encoded", tt.name)
		}
		if b, err := json.Marshal(s); err == nil {
			if _, err := DecodeShard(b); !errors.Is(err, ErrForeign) {
				t.Errorf("%s: DecodeShard: %v; want ErrForeign", tt.name, err)
			}
		}
	}
}

// FuzzDecode: what is taken is sound, and comes back as it was.
func FuzzDecode(f *testing.F) {
	for _, m := range []Message{part(), done()} {
		plain, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
		f.Add(pack(plain))
	}
	f.Add([]byte(`{"stream":"DORMANT_RESULT","seq":1}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := Decode(in)
		if err != nil {
			if !errors.Is(err, ErrForeign) {
				t.Errorf("Decode: %v", err)
			}
			return
		}
		out, err := Encode(m)
		if err != nil {
			t.Fatalf("what was decoded is not encoded: %v", err)
		}
		again, err := Decode(out)
		if err != nil {
			t.Fatalf("what was encoded is not decoded: %v", err)
		}
		if d := cmp.Diff(m, again, same()); d != "" {
			t.Errorf("(-first +second):\n%s", d)
		}
	})
}

// FuzzDecodeShard: the same for work.
func FuzzDecodeShard(f *testing.F) {
	plain, err := json.Marshal(shard())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(pack(plain))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := DecodeShard(in)
		if err != nil {
			return
		}
		out, err := EncodeShard(s)
		if err != nil {
			t.Fatalf("what was decoded is not encoded: %v", err)
		}
		again, err := DecodeShard(out)
		if err != nil {
			t.Fatalf("what was encoded is not decoded: %v", err)
		}
		if d := cmp.Diff(s, again, same()); d != "" {
			t.Errorf("(-first +second):\n%s", d)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	m := part()
	for i := range 500 {
		r := result()
		r.Addr = netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)})
		r.Evidence.Target = r.Target
		m.Part.Results = append(m.Part.Results, r)
	}
	data, err := Encode(m)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ReportMetric(float64(len(data))/float64(len(m.Part.Results)), "wire-B/result")
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleEncode() {
	data, err := Encode(Message{Version: Version, Done: &Done{Run: "r", Shard: 1, Attempt: attempt, Agent: "hq-1", Parts: 2}})
	fmt.Println(len(data) < 1<<10, err)
	// Output: true <nil>
}
