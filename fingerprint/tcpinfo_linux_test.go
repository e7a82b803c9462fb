package fingerprint

import (
	"net"
	"testing"
	"time"
)

// TestTCPInfo: a listener whose program never reads has the payload
// acknowledged by its kernel: 18 bytes and the SYN.
func TestTCPInfo(t *testing.T) {
	o := serveLoopback(t, func(net.Conn) { time.Sleep(time.Second) })
	i := hurried(fakeRules{})
	i.cfg.Wait, i.cfg.Connections = 200*time.Millisecond, 1
	ev, err := i.Identify(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []uint64{1, 1 + uint64(len(get10))} {
		info := ev.Exchanges[n].TCP
		if info == nil {
			t.Fatal("no TCP_INFO on Linux")
		}
		if info.BytesAcked != want || info.Unacked != 0 || info.Retrans != 0 || info.RTT == 0 || info.ZeroWinProbe {
			t.Errorf("exchange %d: %+v, want %d bytes acknowledged and nothing open", n, *info, want)
		}
		if info.HasSendWnd && info.SendWindow < 10000 {
			t.Errorf("exchange %d: window %d", n, info.SendWindow)
		}
	}
}

func TestTCPInfoOfAPipe(t *testing.T) {
	c, s := net.Pipe()
	defer s.Close()
	defer c.Close()
	if got := tcpInfo(c); got != nil {
		t.Errorf("tcpInfo of a pipe = %+v, want nil", got)
	}
}

// TestSmallWindow: a peer that announces hardly any room is a suspected tarpit,
// and one whose room is gone is not asked again.
func TestSmallWindow(t *testing.T) {
	for _, tt := range []struct {
		name               string
		ex                 Exchange
		suspected, stopped bool
	}{
		{"healthy and silent", Exchange{End: EndTimeout, Sent: []byte(get10), TCP: &TCPInfo{BytesAcked: 19, HasSendWnd: true, SendWindow: 65000}}, false, false},
		{"small window", Exchange{End: EndTimeout, Sent: []byte(get10), TCP: &TCPInfo{BytesAcked: 19, HasSendWnd: true, SendWindow: 1134}}, true, false},
		{"shut window", Exchange{End: EndTimeout, Sent: []byte(get10), TCP: &TCPInfo{BytesAcked: 11, HasSendWnd: true, ZeroWinProbe: true}}, true, true},
		{"payload never acknowledged", Exchange{End: EndTimeout, Sent: []byte(get10), TCP: &TCPInfo{BytesAcked: 1, Unacked: 1, Retrans: 4, HasSendWnd: true, SendWindow: 65000}}, false, true},
		{"old kernel", Exchange{End: EndTimeout, Sent: []byte(get10), TCP: &TCPInfo{}}, false, false},
		{"small window that answers", Exchange{End: EndQuiet, Sent: []byte(get10), Received: []byte("x"), TCP: &TCPInfo{BytesAcked: 19, HasSendWnd: true, SendWindow: 500}}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tarpit(tt.ex); got != tt.suspected {
				t.Errorf("tarpit = %t, want %t", got, tt.suspected)
			}
			if got := hopeless(tt.ex); got != tt.stopped {
				t.Errorf("hopeless = %t, want %t", got, tt.stopped)
			}
		})
	}
}
