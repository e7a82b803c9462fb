package connect

import (
	"testing"
	"time"

	"dormant/scanner/backendtest"
)

func TestContract(t *testing.T) {
	for name, asker := range askers(t) {
		for _, addr := range []string{"127.0.0.1", "::1"} {
			t.Run(name+"/"+addr, func(t *testing.T) {
				p := listen(t, addr)
				b := fresh(t, Config{Timeout: 200 * time.Millisecond})
				b.asker = asker
				backendtest.Run(t, b, backendtest.World{
					Open: p.openTCP, Closed: p.closedTCP,
					OpenUDP: p.replyUDP, ClosedUDP: p.closedUDP, SilentUDP: p.silentUDP,
					Payload: []byte("you"), Reply: []byte("HEARD you"),
					Wait: 400 * time.Millisecond,
				})
			})
		}
	}
}
