package listen

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// Read takes a capture file or a file of flows, told apart by its first bytes,
// into the ear's table; either may be compressed by gzip. Flows is zero but for
// the Format where it was a capture. What was read before an error is kept.
func (e *Ear) Read(ctx context.Context, name string, r io.Reader, o FlowOptions) (Flows, error) {
	in, err := unzip(r)
	if err != nil {
		return Flows{}, fmt.Errorf("listen: %s: %w", name, err)
	}
	b := bufio.NewReader(in)
	if magic, err := b.Peek(4); err == nil && o.Format == "" && isCapture(binary.BigEndian.Uint32(magic)) {
		return Flows{Format: "capture"}, ReadCapture(ctx, name, b, e.Hear)
	}
	o.Ports, o.Names = e.cfg.Ports, e.cfg.Names
	return ReadFlows(ctx, name, b, o, e.cfg.Table.Add)
}

func isCapture(magic uint32) bool {
	switch magic {
	case blockSection, 0xa1b2c3d4, 0xa1b23c4d, 0xd4c3b2a1, 0x4d3cb2a1:
		return true
	default: // foreign input
		return false
	}
}
