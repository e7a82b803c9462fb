package portlist_test

import (
	"slices"
	"strings"
	"testing"

	"dormant/cmd/internal/portlist"
)

func FuzzParse(f *testing.F) {
	f.Add("1947/tcp,5093/udp,3588,8000-8100/tcp")
	f.Add("2-1")
	f.Fuzz(func(t *testing.T, s string) {
		ports, err := portlist.Parse(s)
		if err != nil {
			return
		}
		again, err := portlist.Parse(strings.Join(portlist.Spans(ports), ","))
		if err != nil || !slices.Equal(again, ports) {
			t.Errorf("%q is %v, written and read again %v, %v", s, ports, again, err)
		}
	})
}
