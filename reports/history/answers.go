package history

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"time"

	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// answerBatch collects findings that are not open, in a form that deflates
// well: a closed port costs a few bytes.
type answerBatch struct {
	count int
	body  []byte
	last  int64 // nanoseconds since 1970 of the finding before
}

// maxBatch bounds one stored batch, in findings.
const maxBatch = 8192

func (a *answerBatch) add(f *reports.Finding) {
	b := a.body
	key := appendKey(nil, target(f))
	b = append(append(b, byte(len(key))), key...)
	b = append(b, byte(f.State), byte(f.Reason), f.TTL, byte(min(f.ProbesSent, 255)), byte(min(f.ProbesAnswered, 255)))
	at := f.ObservedAt.UnixNano()
	b = binary.AppendVarint(b, at-a.last)
	b = binary.AppendUvarint(b, uint64(max(f.RTT, 0)))
	from := ""
	switch f.ReasonIP {
	case f.IP:
		from = "="
	case netip.Addr{}:
	default:
		from = f.ReasonIP.String()
	}
	for _, s := range []string{from, f.MAC, f.Hostname, f.IANAName} {
		s = s[:min(len(s), 255)]
		b = append(append(b, byte(len(s))), s...)
	}
	a.body, a.last = b, at
	a.count++
}

func (a *answerBatch) reset() { a.count, a.body, a.last = 0, a.body[:0], 0 }

var errBatch = errors.New("history: stored answers are damaged")

// batchReader reads what add wrote. After a fault bad is set and everything
// that is read is zero.
type batchReader struct {
	rest []byte
	last int64
	bad  bool
}

func (r *batchReader) take(n int) []byte {
	if n > len(r.rest) || r.bad {
		r.bad = true
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *batchReader) text() string { return string(r.take(int(r.take(1)[0]))) }

func (r *batchReader) skip(n int) {
	if n <= 0 {
		r.bad = true
		return
	}
	r.rest = r.rest[n:]
}

// next returns the next finding; meta has what all findings of the run share.
func (r *batchReader) next(meta reports.Finding) (reports.Finding, error) {
	f := meta
	t, err := parseKey(r.take(int(r.take(1)[0])))
	head := r.take(5)
	at, n := binary.Varint(r.rest)
	r.skip(n)
	rtt, n := binary.Uvarint(r.rest)
	r.skip(n)
	from := r.text()
	f.MAC, f.Hostname, f.IANAName = r.text(), r.text(), r.text()
	if r.bad || err != nil {
		return f, errBatch
	}
	r.last += at
	f.IP, f.Transport, f.Port = t.Addr, t.Port.Proto, t.Port.Number
	f.State, f.Reason, f.TTL = scanner.State(head[0]), scanner.Reason(head[1]), head[2]
	f.ProbesSent, f.ProbesAnswered = int(head[3]), int(head[4])
	f.ObservedAt = time.Unix(0, r.last).UTC()
	f.RTT = time.Duration(min(rtt, 1<<50))
	switch from {
	case "":
	case "=":
		f.ReasonIP = f.IP
	default:
		if f.ReasonIP, err = netip.ParseAddr(from); err != nil {
			return f, errBatch
		}
	}
	if strings.HasPrefix(f.State.String(), "state(") || strings.HasPrefix(f.Reason.String(), "reason(") {
		return f, errBatch
	}
	return f, nil
}

// target is the finding's key.
func target(f *reports.Finding) scanner.Target {
	return scanner.Target{Addr: f.IP, Port: registry.Port{Number: f.Port, Proto: f.Transport}}
}
