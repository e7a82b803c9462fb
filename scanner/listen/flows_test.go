package listen

import (
	"bytes"
	"compress/gzip"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/registry"
)

func six() []registry.Port {
	var ports []registry.Port
	for _, n := range []uint16{3588, 3712, 3047, 1947, 5093, 475} {
		ports = append(ports, registry.Port{Number: n, Proto: registry.TCP}, registry.Port{Number: n, Proto: registry.UDP})
	}
	return ports
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

var fileTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// client is a row of a test: a client of 10.0.0.9 with the usual rest.
func client(addr, server, port string, use Use, told Told, count uint64, times ...time.Time) Client {
	p, err := registry.ParsePort(port)
	if err != nil {
		panic(err)
	}
	c := Client{Addr: ip(addr), Server: ip(server), Port: p, Use: use, Told: told, Count: count, First: fileTime, Last: fileTime, Source: "x"}
	if len(times) > 0 {
		c.First, c.Last = times[0], times[len(times)-1]
	}
	return c
}

func unix(sec, nsec int64) time.Time { return time.Unix(sec, nsec).UTC() }

func compareClients(t *testing.T, want, got []Client) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("clients (-want +got):\n%s", d)
	}
}

func TestReadFlows(t *testing.T) {
	for _, tt := range []struct {
		name, format, text string
		want               []Client
		stats              Flows // without format and lines
	}{
		{
			name: "conntrack", format: "conntrack",
			text: `tcp      6 431999 ESTABLISHED src=10.0.0.5 dst=10.0.0.9 sport=51234 dport=1947 src=10.0.0.9 dst=10.0.0.5 sport=1947 dport=51234 [ASSURED] mark=0 use=1
tcp      6 110 SYN_SENT src=10.0.0.6 dst=10.0.0.9 sport=51235 dport=1947 [UNREPLIED] src=10.0.0.9 dst=10.0.0.6 sport=1947 dport=51235 mark=0 use=1
udp      17 29 src=10.0.0.7 dst=10.0.0.9 sport=40000 dport=5093 packets=1 bytes=68 src=10.0.0.9 dst=10.0.0.7 sport=5093 dport=40000 packets=1 bytes=90 mark=0 use=1
ipv6     10 tcp      6 300 TIME_WAIT src=fd00::5 dst=fd00::9 sport=51234 dport=3712 src=fd00::9 dst=fd00::5 sport=3712 dport=51234 [ASSURED]
tcp      6 431999 ESTABLISHED src=10.0.0.5 dst=10.0.0.9 sport=51234 dport=443 src=10.0.0.9 dst=10.0.0.5 sport=443 dport=51234 [ASSURED] mark=0 use=1
icmp     1 29 src=10.0.0.5 dst=10.0.0.9 type=8 code=0 id=1 src=10.0.0.9 dst=10.0.0.5 type=0 code=0 id=1
conntrack v1.4.7 (conntrack-tools): 6 flow entries have been shown.
`,
			want: []Client{
				client("10.0.0.5", "10.0.0.9", "1947/tcp", Used, ByFlow, 1),
				client("10.0.0.6", "10.0.0.9", "1947/tcp", Attempted, ByFlow, 1),
				client("10.0.0.7", "10.0.0.9", "5093/udp", Used, ByFlow, 1),
				client("fd00::5", "fd00::9", "3712/tcp", Used, ByFlow, 1),
			},
			stats: Flows{Taken: 4, Other: 2},
		},
		{
			name: "conntrack behind translation", format: "conntrack",
			text: "tcp 6 9 ESTABLISHED src=10.0.0.5 dst=10.9.9.9 sport=51234 dport=1947 src=172.17.0.2 dst=10.0.0.5 sport=1947 dport=51234 [ASSURED]\n" +
				"tcp 6 9 ESTABLISHED src=10.0.0.5 dst=10.9.9.9 sport=51234 dport=8080 src=172.17.0.2 dst=10.0.0.5 sport=3712 dport=51234 [ASSURED]\n",
			want: []Client{
				client("10.0.0.5", "10.9.9.9", "1947/tcp", Used, ByFlow, 1),
				client("10.0.0.5", "172.17.0.2", "1947/tcp", Used, ByFlow, 1),
				client("10.0.0.5", "172.17.0.2", "3712/tcp", Used, ByFlow, 1),
			},
			stats: Flows{Taken: 2},
		},
		{
			name: "ss on a server and on a client", format: "ss",
			text: `State      Recv-Q Send-Q Local Address:Port   Peer Address:Port Process
ESTAB      0      0      10.0.0.9:1947        10.0.0.5:51234
ESTAB      0      0      [::ffff:10.0.0.9]:1947 [::ffff:10.0.0.6]:51234
TIME-WAIT  0      0      10.0.0.9:40000       10.0.0.8:3588
SYN-SENT   0      1      10.0.0.9%eth0:40001  10.0.0.8:3047 users:(("x",pid=1,fd=3))
	 cubic wscale:7,7 rto:204
ESTAB      0      0      10.0.0.9:3588        93.184.216.34:443
ESTAB      0      0      10.0.0.9:22          10.0.0.5:51236
ESTAB      0      0      [fe80::1]%eth0:1947  [fe80::2]:40001
LISTEN     0      4096   *:1947               *:*
`,
			want: []Client{
				client("10.0.0.5", "10.0.0.9", "1947/tcp", Used, ByPort, 1),
				client("10.0.0.6", "10.0.0.9", "1947/tcp", Used, ByPort, 1),
				client("10.0.0.9", "10.0.0.8", "3588/tcp", Used, ByPort, 1),
				client("10.0.0.9", "10.0.0.8", "3047/tcp", Attempted, ByPort, 1),
				client("fe80::2", "fe80::1", "1947/tcp", Used, ByPort, 1),
			},
			stats: Flows{Taken: 5, Other: 2, Ambiguous: 1},
		},
		{
			name: "ss with transports and without a header", format: "ss",
			text: "tcp ESTAB 0 0 10.0.0.9:1947 10.0.0.5:51234\nudp ESTAB 0 0 10.0.0.5:40000 10.0.0.9:5093\n",
			want: []Client{
				client("10.0.0.5", "10.0.0.9", "1947/tcp", Used, ByPort, 1),
				client("10.0.0.5", "10.0.0.9", "5093/udp", Used, ByPort, 1),
			},
			stats: Flows{Taken: 2},
		},
		{
			name: "Zeek", format: "zeek-tsv",
			text: "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#open\t2026-01-01-00-00-00\n" +
				"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\tconn_state\n" +
				"#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tstring\n" +
				"1700000000.500000\tCa\t10.0.0.5\t51234\t10.0.0.9\t1947\ttcp\t-\t2.500000\tSF\n" +
				"1700000001.000000\tCb\t10.0.0.6\t51234\t10.0.0.9\t1947\ttcp\t-\t-\tREJ\n" +
				"1700000002.000000\tCc\t10.0.0.7\t51234\t10.0.0.255\t1947\tudp\t-\t-\tS0\n" +
				"1700000002.000000\tCc\t10.0.0.7\t51234\t255.255.255.255\t1947\tudp\t-\t-\tS0\n" +
				"1700000003.000000\tCd\t10.0.0.7\t8\t10.0.0.9\t0\ticmp\t-\t-\tOTH\n" +
				"#close\t2026-01-01-01-00-00\n",
			want: []Client{
				client("10.0.0.5", "10.0.0.9", "1947/tcp", Used, ByFlow, 1, unix(1700000000, 5e8), unix(1700000003, 0)),
				client("10.0.0.6", "10.0.0.9", "1947/tcp", Refused, ByFlow, 1, unix(1700000001, 0)),
				client("10.0.0.7", "10.0.0.255", "1947/udp", Attempted, ByFlow, 1, unix(1700000002, 0)),
				client("10.0.0.7", "255.255.255.255", "1947/udp", Announced, ByFlow, 1, unix(1700000002, 0)),
			},
			stats: Flows{Taken: 4, Other: 1},
		},
		{
			name: "Zeek as JSON", format: "zeek-json",
			text: `{"ts":1700000000.5,"uid":"Ca","id.orig_h":"10.0.0.5","id.orig_p":51234,"id.resp_h":"10.0.0.9","id.resp_p":1947,"proto":"tcp","duration":2.5,"conn_state":"SF"}
{"ts":"2023-11-14T22:13:21.000000Z","uid":"Cb","id.orig_h":"fd00::6","id.orig_p":51234,"id.resp_h":"fd00::9","id.resp_p":475,"proto":"udp","conn_state":"S0"}
`,
			want: []Client{
				client("10.0.0.5", "10.0.0.9", "1947/tcp", Used, ByFlow, 1, unix(1700000000, 5e8), unix(1700000003, 0)),
				client("fd00::6", "fd00::9", "475/udp", Attempted, ByFlow, 1, unix(1700000001, 0)),
			},
			stats: Flows{Taken: 2},
		},
		{
			name: "nfdump 1.6", format: "nfdump",
			text: `ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt
2023-11-14 22:13:20,2023-11-14 22:13:22,2.000,10.0.0.5,10.0.0.9,51234,1947,TCP,...AP.SF,0,0,10,1200,0,0
2023-11-14 22:13:20,2023-11-14 22:13:22,2.000,10.0.0.9,10.0.0.5,1947,51234,TCP,...AP.SF,0,0,8,1000,0,0
2023-11-14 22:13:20,2023-11-14 22:13:20,0.000,10.0.0.6,10.0.0.9,51234,3712,TCP,......S.,0,0,1,60,0,0
2023-11-14 22:13:20,2023-11-14 22:13:20,0.000,10.0.0.9,10.0.0.6,3712,51234,TCP,...A.R..,0,0,1,40,0,0
2023-11-14 22:13:20,2023-11-14 22:13:20,0.000,10.0.0.9,10.0.0.6,443,51234,TCP,...A.R..,0,0,1,40,0,0
Summary
flows,bytes,packets,avg_bps,avg_pps,avg_bpp
5,2340,20,0,0,117
`,
			want: []Client{
				client("10.0.0.5", "10.0.0.9", "1947/tcp", Used, ByPort, 1, unix(1700000000, 0), unix(1700000002, 0)),
				client("10.0.0.5", "10.0.0.9", "1947/tcp", Used, ByPort, 1, unix(1700000000, 0), unix(1700000002, 0)),
				client("10.0.0.6", "10.0.0.9", "3712/tcp", Attempted, ByPort, 1, unix(1700000000, 0)),
				client("10.0.0.6", "10.0.0.9", "3712/tcp", Refused, ByPort, 1, unix(1700000000, 0)),
			},
			stats: Flows{Taken: 4, Other: 1},
		},
		{
			name: "nfdump 1.7", format: "nfdump",
			text: "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,bpp,bps,flows\n" +
				"2023-11-14 22:13:20.250,0.100,UDP,10.0.0.9,5093,10.0.0.5,40000,1,90,90,0,1\n",
			want:  []Client{client("10.0.0.5", "10.0.0.9", "5093/udp", Used, ByPort, 1, unix(1700000000, 25e7))},
			stats: Flows{Taken: 1},
		},
		{
			name: "VPC flow logs", format: "aws-vpc",
			text: `version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
2 123456789010 eni-1235b8ca123456789 10.0.0.5 10.0.0.9 51234 1947 6 20 4249 1700000000 1700000060 ACCEPT OK
2 123456789010 eni-1235b8ca123456789 10.0.0.6 10.0.0.9 51234 3712 6 1 60 1700000000 1700000060 REJECT OK
2 123456789010 eni-1235b8ca123456789 10.0.0.7 10.0.0.9 51234 3712 6 1 60 1700000000 1700000060 ACCEPT OK
2 123456789010 eni-1235b8ca123456789 - - - - - - - 1700000000 1700000060 - NODATA
2 123456789010 eni-1235b8ca123456789 - - - - - - - 1700000000 1700000060 - SKIPDATA
`,
			want: []Client{
				client("10.0.0.5", "10.0.0.9", "1947/tcp", Used, ByPort, 1, unix(1700000000, 0), unix(1700000060, 0)),
				client("10.0.0.6", "10.0.0.9", "3712/tcp", Refused, ByPort, 1, unix(1700000000, 0), unix(1700000060, 0)),
				client("10.0.0.7", "10.0.0.9", "3712/tcp", Attempted, ByPort, 1, unix(1700000000, 0), unix(1700000060, 0)),
			},
			stats: Flows{Taken: 3, NotLogged: 1},
		},
		{
			name: "VPC flow logs from CloudWatch", format: "aws-vpc",
			text:  "2023-11-14T22:13:20.000Z 2 123 eni-1 10.0.0.9 10.0.0.5 1947 51234 6 3 180 1700000000 1700000060 ACCEPT OK\n",
			want:  []Client{client("10.0.0.5", "10.0.0.9", "1947/tcp", Answered, ByPort, 1, unix(1700000000, 0), unix(1700000060, 0))},
			stats: Flows{Taken: 1},
		},
		{
			name: "VPC flow logs of a custom format", format: "aws-vpc",
			text: "srcaddr dstaddr srcport dstport protocol tcp-flags start\n10.0.0.9 10.0.0.5 1947 51234 6 18 1700000000\n10.0.0.6 10.0.0.9 51234 1947 6 2 1700000000\n",
			want: []Client{
				client("10.0.0.5", "10.0.0.9", "1947/tcp", Answered, ByPort, 1, unix(1700000000, 0)),
				client("10.0.0.6", "10.0.0.9", "1947/tcp", Attempted, ByPort, 1, unix(1700000000, 0)),
			},
			stats: Flows{Taken: 2},
		},
		{
			name: "a list made by hand", format: "csv",
			text:  "Client;Server;Port\n# a comment\n10.0.0.5;10.0.0.9;1947/tcp\n10.0.0.6;10.0.0.9;8080/tcp\n",
			want:  []Client{client("10.0.0.5", "10.0.0.9", "1947/tcp", Used, ByFlow, 1)},
			stats: Flows{Taken: 1, Other: 1},
		},
		{
			name: "clients with their ports, flags as numbers", format: "csv",
			text:  "client,sport,server,port,transport,flags\n10.0.0.5,443,10.0.0.9,1947,tcp,2\n10.0.0.5,443,10.0.0.9,1947,icmp,\n",
			want:  []Client{client("10.0.0.5", "10.0.0.9", "1947/tcp", Used, ByFlow, 1)},
			stats: Flows{Taken: 1, Other: 1},
		},
		{
			name: "directions with flags as numbers", format: "csv",
			text: "src,sport,dst,dport,proto,flags\n10.0.0.5,40000,10.0.0.9,1947,tcp,2\n10.0.0.9,3712,10.0.0.5,40000,tcp,0x12\n10.0.0.5,40000,10.0.0.9,5093,tcp,024\n10.0.0.5,40000,10.0.0.9,443,6,018\n",
			want: []Client{
				client("10.0.0.5", "10.0.0.9", "1947/tcp", Attempted, ByPort, 1),
				client("10.0.0.5", "10.0.0.9", "3712/tcp", Answered, ByPort, 1),
				client("10.0.0.5", "10.0.0.9", "5093/tcp", Used, ByPort, 1),
			},
			stats: Flows{Taken: 3, Other: 1},
		},
		{
			name: "conntrack of the kernel, and accounted", format: "conntrack",
			text: "ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.5 dst=10.0.0.9 sport=51234 dport=1947 packets=3 bytes=180 src=10.0.0.9 dst=10.0.0.5 sport=1947 dport=51234 packets=2 bytes=120 [ASSURED] mark=0 zone=0 use=2\n" +
				"ipv4     2 unknown  2 431 src=10.0.0.5 dst=224.0.0.22 [UNREPLIED] src=224.0.0.22 dst=10.0.0.5 mark=0 zone=0 use=2\n",
			want:  []Client{client("10.0.0.5", "10.0.0.9", "1947/tcp", Used, ByFlow, 1)},
			stats: Flows{Taken: 1, Other: 1},
		},
		{
			name: "what listen writes", format: "csv",
			text: "client,client_name,server,transport,port,use,told_by,count,first_seen,last_seen,created,source\r\n" +
				"10.0.0.5,\"'=HOST, 5\",10.0.0.255,udp,1947,announced,asking,7,2023-11-14T22:13:20Z,2023-11-14T22:13:22Z,,eth0\r\n",
			want: func() []Client {
				c := client("10.0.0.5", "10.0.0.255", "1947/udp", Announced, ByAsking, 7, unix(1700000000, 0), unix(1700000002, 0))
				c.Name = "=HOST, 5"
				return []Client{c}
			}(),
			stats: Flows{Taken: 1},
		},
		{
			name: "an export of a firewall's log", format: "csv",
			text:  "\ufeffSource IP\tDestination IP\tDestination Port\tProtocol\tTime\n10.0.0.5\t10.0.0.9\t3047\t6\t1700000000\n",
			want:  []Client{client("10.0.0.5", "10.0.0.9", "3047/tcp", Used, ByFlow, 1, unix(1700000000, 0))},
			stats: Flows{Taken: 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []Client
			o := FlowOptions{Ports: six(), At: fileTime, Names: true}
			stats, err := ReadFlows(t.Context(), "x", strings.NewReader(tt.text), o, func(c Client) { got = append(got, c) })
			if err != nil {
				t.Fatal(err)
			}
			compareClients(t, tt.want, got)
			tt.stats.Format, tt.stats.Lines = tt.format, uint64(strings.Count(tt.text, "\n"))
			if stats != tt.stats {
				t.Errorf("stats = %+v, want %+v", stats, tt.stats)
			}
			var zipped bytes.Buffer
			z := gzip.NewWriter(&zipped)
			if _, err := z.Write([]byte(tt.text)); err != nil || z.Close() != nil {
				t.Fatal(err)
			}
			again := []Client{}
			o.Format = tt.format
			if _, err := ReadFlows(t.Context(), "x", &zipped, o, func(c Client) { again = append(again, c) }); err != nil {
				t.Fatal(err)
			}
			compareClients(t, got, again)
		})
	}
}

func TestReadFlowsFaults(t *testing.T) {
	for _, tt := range []struct{ name, format, text, want string }{
		{"nothing known", "", "hello\n", `listen: x:1: "hello" is the start of no known format`},
		{"empty quote", "", "\n\n\"\n", `listen: x:3: "\"" is the start of no known format`},
		{"a later line", "", "client,server,port\n10.0.0.5,10.0.0.9,1947/tcp\n10.0.0.5,10.0.0,1947/tcp\n", `listen: x:3: address "10.0.0": want an IPv4 or IPv6 address`},
		{"a port too large", "", "client,server,port\n10.0.0.5,10.0.0.9,65536/tcp\n", `listen: x:2: port "65536": want a number from 0 to 65535`},
		{"no transport", "", "client,server,port\n10.0.0.5,10.0.0.9,1947\n", `listen: x:2: no transport`},
		{"too few cells", "", "client,server,port\n10.0.0.5\n", `listen: x:2: 1 cells: the header has columns up to 3`},
		{"no server", "", "client,port\n10.0.0.5,1\n", `listen: x:1: the header has no column server`},
		{"forced format", "csv", "ESTAB 0 0 10.0.0.9:1947 10.0.0.5:51234\n", `listen: x:1: "ESTAB 0 0 10.0.0.9:1947 10.0.0.5:51234": want a header`},
		{"unknown format", "pdf", "", `listen: flow format "pdf": want one of aws-vpc, conntrack`},
		{"Zeek without fields", "", "#separator \\x09\n1.0\ta\n", `listen: x:2: a connection before the line #fields`},
		{"Zeek of another log", "", "#fields\tts\tquery\n", `listen: x:1: #fields has no id.orig_h: want a conn.log`},
		{"JSON broken", "", "{\"proto\":\n", `listen: x:1: want one JSON object of Zeek's conn.log`},
		{"JSON of something else", "", "{\"a\":1}\n", `listen: x:1: want an object with proto`},
		{"ss with names", "", "ESTAB 0 0 10.0.0.9:hasplm host:51234\n", `listen: x:1: port "hasplm": want a number`},
		{"conntrack cut", "", "tcp 6 9 ESTABLISHED src=10.0.0.5 dst=10.9.9.9 sport=51234 dport=1947\n", `listen: x:1: want two tuples`},
		{"conntrack of no address", "", "tcp 6 9 ESTABLISHED src=10.0.0 dst=10.9.9.9 sport=1 dport=1947 src=10.9.9.9 dst=10.0.0.5 sport=1947 dport=1\n", `listen: x:1: address "10.0.0"`},
		{"conntrack answered by no address", "", "tcp 6 9 ESTABLISHED src=10.0.0.5 dst=10.9.9.9 sport=1 dport=1947 src=10.9.9 dst=10.0.0.5 sport=1947 dport=1\n", `listen: x:1: address "10.9.9"`},
		{"conntrack with other lines", "", "tcp 6 9 ESTABLISHED src=10.0.0.5 dst=10.9.9.9 sport=1 dport=1947 src=10.9.9.9 dst=10.0.0.5 sport=1947 dport=1\nhello\n", `listen: x:2: "hello": want a line of conntrack -L`},
		{"CSV with a quote", "", "client,server,port\n10.0.0.5,\"10.0.0.9,1947/tcp\n", `listen: x:2: a cell with a quote`},
		{"flags of no TCP", "", "src,sport,dst,dport,proto,flags\n10.0.0.5,1,10.0.0.9,1947,tcp,256\n", `listen: x:2: TCP flags "256": want 0 to 255`},
		{"flags of no letters", "", "src,sport,dst,dport,proto,flags\n10.0.0.5,1,10.0.0.9,1947,tcp,.?\n", `listen: x:2: TCP flags ".?": want letters`},
		{"VPC cut", "", "version srcaddr dstaddr srcport dstport protocol\n2 10.0.0.1\n", `listen: x:2: 2 fields: want 6`},
		{"a bad time", "", "client,server,port,first_seen\n10.0.0.5,10.0.0.9,1947/tcp,yesterday\n", `listen: x:2: time "yesterday": want seconds since 1970`},
		{"a bad use", "", "client,server,port,use\n10.0.0.5,10.0.0.9,1947/tcp,maybe\n", `listen: x:2: listen: use "maybe"`},
		{"a long line", "", strings.Repeat("x", maxLine+1), `listen: x:1: a line of more than 1048576 bytes`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadFlows(t.Context(), "x", strings.NewReader(tt.text), FlowOptions{Ports: six(), Format: tt.format}, func(Client) {})
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("ReadFlows = %v, want %s…", err, tt.want)
			}
		})
	}
	if _, err := ReadFlows(t.Context(), "x", strings.NewReader(""), FlowOptions{}, nil); err == nil {
		t.Error("no ports: want an error")
	}
}

// FuzzReadFlows holds that whatever the text, a client that comes out is whole
// and of a port that was asked for, and the counters do not exceed the lines.
func FuzzReadFlows(f *testing.F) {
	for _, text := range []string{
		"tcp 6 9 ESTABLISHED src=10.0.0.5 dst=10.9.9.9 sport=51234 dport=1947 src=172.17.0.2 dst=10.0.0.5 sport=1947 dport=51234\n",
		"ESTAB 0 0 [fe80::1]%eth0:1947 10.0.0.5:51234\n",
		"#separator \\x09\n#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tconn_state\n1.5\t10.0.0.5\t5\t10.0.0.9\t1947\ttcp\tSF\n",
		`{"ts":1.5,"id.orig_h":"10.0.0.5","id.orig_p":1,"id.resp_h":"10.0.0.9","id.resp_p":1947,"proto":"tcp","duration":2.5}`,
		"ts,te,td,sa,da,sp,dp,pr,flg,ipkt,ibyt\n2023-11-14 22:13:20,,2.000,10.0.0.5,10.0.0.9,51234,1947,TCP,...AP.SF,10,1200\nSummary\n",
		"2 123 eni-1 10.0.0.9 10.0.0.5 1947 51234 6 3 180 1700000000 1700000060 ACCEPT OK\n",
		"client,server,port,transport,client_name\n10.0.0.5,10.0.0.9,1947,tcp,\"a,b\"\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n := uint64(0)
		stats, err := ReadFlows(t.Context(), "x", bytes.NewReader(text), FlowOptions{Ports: six(), Names: true}, func(c Client) {
			n++
			if !c.Addr.IsValid() || !c.Server.IsValid() || c.Addr.Zone() != "" || c.Use == 0 || c.Told == 0 || c.Count == 0 || c.Source != "x" {
				t.Fatalf("half a client: %+v", c)
			}
			if !(&Ear{cfg: Config{Ports: six()}}).ours(c.Port.Proto, c.Port.Number) {
				t.Fatalf("a client of %v", c.Port)
			}
		})
		if stats.Taken+stats.Other+stats.Ambiguous+stats.NotLogged > stats.Lines || n > 2*stats.Taken+1 {
			t.Fatalf("%d clients, %+v", n, stats)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("an error of several lines: %q", err)
		}
	})
}
