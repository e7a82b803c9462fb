//go:build !linux

package connect

import (
	"context"
	"log/slog"
	"net/netip"
)

// witness sees nothing: this system's kernel is not asked.
type witness struct{}

func newWitness(Config, *slog.Logger) *witness { return &witness{} }

func (*witness) aim(context.Context, netip.Addr) {}
func (*witness) drops() uint64                   { return 0 }
func (*witness) faults() []string                { return nil }
