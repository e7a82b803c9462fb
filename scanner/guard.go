package scanner

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/projectdiscovery/hmap/store/hybrid"
	"github.com/projectdiscovery/ipranger"
	"go4.org/netipx"
)

// Guard knows, apart from the arithmetic of the plan, which addresses may be
// asked and whose answers count. It is for one goroutine at a time, and needs no
// closing.
type Guard struct{ ranger *ipranger.IPRanger }

// NewGuard returns a guard that holds prefixes, which do not overlap. While it
// works it needs a folder of its own, a temporary one, and where that cannot be
// made one in the user's cache or in memory; and it sets the environment variable
// of temporary folders: no other goroutine may read it meanwhile.
func NewGuard(prefixes []netip.Prefix) (*Guard, error) {
	ranger, err := newRanger()
	if err != nil {
		return nil, fmt.Errorf("scanner: guard: %w", err)
	}
	g := &Guard{ranger}
	for _, p := range prefixes {
		if err := g.add(p); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// newRanger returns an empty ranger. The one that ipranger makes keeps names of
// hosts in a database in the temporary folder, with 4 MiB of memory for it; there
// are none here, so the database makes room for an empty map at once.
func newRanger() (*ipranger.IPRanger, error) {
	folder, err := newGuardFolder()
	if err != nil {
		return nil, err
	}
	ranger, err := rangerIn(folder)
	if err == nil {
		err = ranger.Hosts.Close()
	}
	if err = errors.Join(err, os.RemoveAll(folder)); err != nil {
		return nil, err
	}
	ranger.Hosts, err = hybrid.New(hybrid.DefaultMemoryOptions)
	return ranger, err
}

// rangerIn calls ipranger.New with folder as the temporary folder: New deletes
// old folders there whose name contains the program's name, whoever made them.
func rangerIn(folder string) (_ *ipranger.IPRanger, err error) {
	for _, key := range []string{"TMPDIR", "TMP"} { // Unix, Windows
		old, was := os.LookupEnv(key)
		if err := os.Setenv(key, folder); err != nil {
			return nil, err
		}
		defer func() {
			if was {
				err = errors.Join(err, os.Setenv(key, old))
			} else {
				err = errors.Join(err, os.Unsetenv(key))
			}
		}()
	}
	return ipranger.New()
}

// add stores p and makes sure that it is there: ipranger takes what it does not
// understand without an error. A single address goes in as /32 or /128.
func (g *Guard) add(p netip.Prefix) error {
	if p != p.Masked() || p.Addr().Is4In6() {
		return fmt.Errorf("scanner: guard: prefix %v: want a masked IPv4 or IPv6 prefix", p)
	}
	if err := g.ranger.Add(p.String()); err != nil {
		return fmt.Errorf("scanner: guard: add %v: %w", p, err)
	}
	return g.holds(p)
}

// holds asks for the first and the last address of p.
func (g *Guard) holds(p netip.Prefix) error {
	for _, addr := range []netip.Addr{p.Addr(), netipx.PrefixLastIP(p)} {
		if !g.Contains(addr) {
			return fmt.Errorf("scanner: guard: %v of %v is not among the targets", addr, p)
		}
	}
	return nil
}

// Contains reports whether addr is among the targets, whatever its zone. It
// costs some 250 ns: ask it for replies, not for probes.
func (g *Guard) Contains(addr netip.Addr) bool {
	return addr.IsValid() && g.ranger.Contains(addr.Unmap().WithZone("").String())
}

// Check asks for both ends of every prefix of p.
func (g *Guard) Check(p *Plan) error {
	var faults []error
	for _, prefix := range p.Prefixes() {
		faults = append(faults, g.holds(prefix))
	}
	return errors.Join(slices.DeleteFunc(faults, func(err error) bool { return err == nil })...)
}
