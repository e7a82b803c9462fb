package fingerprint

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dormant/registry"
	"dormant/scanner"
)

// estate is an emulated network: of every 20 ports 12 are HTTP servers, 3 close
// at once, 3 are silent, 1 is a tarpit and 1 speaks TLS.
type estate struct {
	http, tls  func(net.Conn)
	ports      []uint16
	open, most atomic.Int64 // connections at a time
}

func newEstate(t *testing.T) *estate {
	page := "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\n\r\n<title>hello</title>" + strings.Repeat("<p>lorem ipsum dolor sit amet\n", 100)
	cfg := &tls.Config{Certificates: []tls.Certificate{certificate(t, ecKey(t))}}
	return &estate{
		http:  answers(page),
		ports: []uint16{3588, 3712, 3047, 5093, 475},
		tls: func(c net.Conn) {
			s := tls.Server(c, cfg)
			buf := make([]byte, 2048)
			if _, err := s.Read(buf); err == nil {
				_, _ = io.WriteString(s, page)
			}
		},
	}
}

// handler is what listens on the n-th port of the estate.
func (e *estate) handler(n int) func(net.Conn) {
	switch n % 20 {
	case 0, 7, 13:
		return closes
	case 3, 9, 16:
		return silent
	case 5:
		return drops
	case 11:
		return e.tls
	default:
		return e.http
	}
}

// dial is the network: host n is 10.0.x.y, its canary ports are closed.
func (e *estate) dial(address string) (net.Conn, error) {
	to := netip.MustParseAddrPort(address)
	b := to.Addr().As4()
	host := int(b[2])<<8 | int(b[3])
	for i, p := range e.ports {
		if p != to.Port() {
			continue
		}
		client, server := net.Pipe()
		e.most.Store(max(e.most.Load(), e.open.Add(1)))
		go func() { // ends with the handler: at the latest when the client closes
			defer server.Close()
			e.handler(host*len(e.ports) + i)(server)
		}()
		return &estateConn{Conn: client, open: &e.open}, nil
	}
	return nil, errRefused()
}

type estateConn struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *estateConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// observations are all open ports of the first hosts, as a sweep finds them:
// in no order of hosts.
func (e *estate) observations(hosts int) []scanner.Observation {
	var list []scanner.Observation
	for _, p := range e.ports {
		for n := range hosts {
			list = append(list, openPort(fmt.Sprintf("10.0.%d.%d", n>>8, n&255), p))
		}
	}
	return list
}

// TestThroughput identifies 1,000 open ports on 200 hosts in virtual time; with
// DORMANT_THROUGHPUT=1 it is 10,000 on 2,000, for several numbers of workers,
// and the real cost is measured. Time is virtual and so exact: a tarpit that
// held up others would show.
func TestThroughput(t *testing.T) {
	type run struct {
		hosts, workers int
		most           time.Duration
	}
	runs := []run{{200, 256, 3 * time.Minute}}
	if os.Getenv("DORMANT_THROUGHPUT") != "" {
		runs = []run{{2000, 64, time.Hour}, {2000, 256, 10 * time.Minute}, {2000, 512, 6 * time.Minute}, {2000, 1024, 4 * time.Minute}, {2000, 2048, 4 * time.Minute}}
	}
	rules, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		t.Run(fmt.Sprintf("%d hosts, %d workers", r.hosts, r.workers), func(t *testing.T) {
			e := newEstate(t)
			began := time.Now()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var virtual time.Duration
			statuses := map[Class]*atomic.Int64{}
			for c := range Unidentified + 1 {
				statuses[c] = new(atomic.Int64)
			}
			synctest.Test(t, func(t *testing.T) {
				i := NewIdentifier(rules, Config{Dialer: dialerFunc(e.dial), Planned: []registry.Port{}})
				list := e.observations(r.hosts)
				in := make(chan scanner.Observation, len(list))
				for _, o := range list {
					in <- o
				}
				close(in)
				start := time.Now()
				i.Run(t.Context(), in, r.workers, func(res Result) {
					v := rules.Judge(registry.Entry{}, res.Observation, res.Evidence)
					statuses[v.Class].Add(1)
				})
				virtual = time.Since(start)
				time.Sleep(time.Hour) // what still runs is a handler that hears of the end
			})
			runtime.ReadMemStats(&after)
			t.Logf("%d ports: %v virtual, %v real for both sides, %d MB allocated, at most %d connections at a time", r.hosts*len(e.ports),
				virtual.Round(time.Second), time.Since(began).Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, e.most.Load())
			if virtual > r.most {
				t.Errorf("%v for %d ports, want at most %v", virtual, r.hosts*len(e.ports), r.most)
			}
			if e.most.Load() > int64(r.workers) {
				t.Errorf("%d connections at a time with %d workers", e.most.Load(), r.workers)
			}
			for class, want := range map[Class]int{
				KnownService: 13, Middlebox: 3, Unidentified: 3, Tarpit: 1, PossibleC2: 0,
			} {
				if got := int(statuses[class].Load()); got != want*r.hosts*len(e.ports)/20 {
					t.Errorf("%d ports are called %v, want %d", got, class, want*r.hosts*len(e.ports)/20)
				}
			}
		})
	}
}
