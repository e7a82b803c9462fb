package ways

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The standard library reads the same lists.
func TestReadsAgree(t *testing.T) {
	links, err := Kernel{}.links(0)
	if err != nil {
		t.Fatal(err)
	}
	homes, err := Kernel{}.homes()
	if err != nil {
		t.Fatal(err)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		Name string
		Up   bool
	}
	want, got := map[int]seen{}, map[int]seen{}
	wantHomes, gotHomes := map[home]bool{}, map[home]bool{}
	for _, i := range interfaces {
		want[i.Index] = seen{i.Name, i.Flags&net.FlagUp != 0}
		addrs, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				t.Fatal(err)
			}
			wantHomes[home{p.Addr().Unmap(), i.Index}] = true
		}
	}
	for index, l := range links {
		got[index] = seen{l.name, l.up}
		one, err := Kernel{}.links(index)
		if err != nil || one[index].name != l.name {
			t.Errorf("Kernel{}.links(%d) = %v, %v; want %s", index, one, err, l.name)
		}
	}
	for h := range homes {
		gotHomes[h] = true
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("interfaces (-want +got):\n%s", d)
	}
	if d := cmp.Diff(wantHomes, gotHomes, cmp.AllowUnexported(home{}), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("addresses (-want +got):\n%s", d)
	}
	if _, err := (Kernel{}).links(1 << 30); err == nil {
		t.Error("links of no interface: want an error")
	}
}

func TestLinkFault(t *testing.T) {
	up := link{name: "eth0", up: true, carrier: true, lost: 3}
	with := func(change func(*link)) link {
		l := up
		change(&l)
		return l
	}
	unplugged := with(func(l *link) { l.carrier, l.lost = false, 4 })
	for _, tt := range []struct {
		name        string
		before, now link
		want        string
	}{
		{"the same", up, up, ""},
		{"more dropped", up, with(func(l *link) { l.dropped = 9 }), ""}, // a counter of its own
		{"another name", up, with(func(l *link) { l.name = "wan" }), ""},
		{"gone", up, link{}, "interface eth0 is gone"},
		{"another MAC", up, with(func(l *link) { l.mac = "\x02\x00\x00\x00\x00\x02" }), "interface eth0 has another link-layer address now"},
		{"set down", up, with(func(l *link) { l.up, l.carrier = false, false }), "interface eth0 is down"},
		{"unplugged", up, unplugged, "interface eth0 has lost its carrier"},
		{"unplugged for a while", up, with(func(l *link) { l.lost = 4 }), "interface eth0 had lost its carrier for a while"},
		{"unplugged before", unplugged, unplugged, ""},
		{"frames that could not be sent", up, with(func(l *link) { l.failed = 2 }), "interface eth0 could not send 2 frames"},
		{"plugged in", unplugged, with(func(l *link) { l.lost = 4 }), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.before.fault(tt.now); got != tt.want {
				t.Errorf("fault = %q, want %q", got, tt.want)
			}
		})
	}
}

// An address is only ever one of those that the message has.
func FuzzParseHome(f *testing.F) {
	message := func(index uint32, attributes ...[]byte) []byte {
		m := nl.NewIfAddrmsg(unix.AF_INET)
		m.Index = index
		all := append([]byte{}, m.Serialize()...)
		for _, a := range attributes {
			all = append(all, a...)
		}
		return all
	}
	local := nl.NewRtAttr(unix.IFA_LOCAL, []byte{10, 1, 0, 1}).Serialize()
	peer := nl.NewRtAttr(unix.IFA_ADDRESS, []byte{10, 1, 0, 2}).Serialize()
	times := nl.NewRtAttr(unix.IFA_CACHEINFO, []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0}).Serialize()
	for _, seed := range [][]byte{nil, message(7, peer), message(7, local, peer, times), message(7, peer, local), message(7, times[:8])} {
		f.Add(seed)
	}
	for _, m := range [][]byte{message(7, local, peer, times), message(7, times, peer, local)} {
		h, made, err := parseHome(m)
		if want := (home{netip.MustParseAddr("10.1.0.1"), 7}); h != want || made == 0 || err != nil {
			f.Errorf("parseHome(%x) = %v, %d, %v; want %v and its time", m, h, made, err, want)
		}
	}
	f.Fuzz(func(t *testing.T, m []byte) {
		h, _, err := parseHome(m)
		if err != nil || !h.addr.IsValid() {
			return
		}
		raw := h.addr.AsSlice()
		for i := unix.SizeofIfAddrmsg; i+len(raw) <= len(m); i++ {
			if string(m[i:i+len(raw)]) == string(raw) {
				return
			}
		}
		t.Errorf("parseHome(%x) = %v, which is not in it", m, h)
	})
}
