package listen

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"dormant/registry"
)

// FlowOptions say what to read from a file of flows.
type FlowOptions struct {
	// Ports are those of interest. At least one.
	Ports []registry.Port
	// Format is one of FlowFormats, "" to recognise it.
	Format string
	// At is the time of what a format without times tells: that of the file.
	At time.Time
	// Names keeps the host names that a clients file holds.
	Names bool
}

// Flows counts what a file held.
type Flows struct {
	Format    string `json:"format"`     // what it was read as
	Lines     uint64 `json:"lines"`      // all
	Taken     uint64 `json:"taken"`      // lines that told of a client
	Other     uint64 `json:"other"`      // flows of other ports or protocols
	Ambiguous uint64 `json:"ambiguous"`  // either side could be the server
	NotLogged uint64 `json:"not_logged"` // the tool says that it lost flows itself: lines that tell so
}

// maxLine bounds a line of a flow file, in bytes.
const maxLine = 1 << 20

// FlowFormats returns the names of the formats that are read.
func FlowFormats() []string {
	return []string{"aws-vpc", "conntrack", "csv", "nfdump", "ss", "zeek-json", "zeek-tsv"}
}

// parser reads one format line by line. take is given a line that is not
// empty; a fault is told without the line's number.
type parser interface {
	take(line string) error
}

// ReadFlows calls emit for every use of the ports that the text in r tells of:
// conntrack -L, ss -tn, Zeek's conn.log, nfdump -o csv, AWS VPC flow logs, or
// CSV with a header; also compressed by gzip. A line that is not understood is
// an error with its number, after all before it were handed out.
func ReadFlows(ctx context.Context, name string, r io.Reader, o FlowOptions, emit func(Client)) (Flows, error) {
	if len(o.Ports) == 0 {
		return Flows{}, errors.New("listen: flows are read for ports: none was given")
	}
	if o.Format != "" && !slices.Contains(FlowFormats(), o.Format) {
		return Flows{}, fmt.Errorf("listen: flow format %q: want one of %s", o.Format, strings.Join(FlowFormats(), ", "))
	}
	in, err := unzip(r)
	if err != nil {
		return Flows{}, fmt.Errorf("listen: %s: %w", name, err)
	}
	f := &flowFile{FlowOptions: o, name: name, emit: emit}
	f.Flows.Format = o.Format
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	var p parser
	for lines.Scan() {
		if ctx.Err() != nil {
			return f.Flows, ctx.Err()
		}
		f.Lines++
		line := strings.TrimSuffix(lines.Text(), "\r")
		if f.Lines == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if p == nil {
			if p, err = f.parser(line); err != nil {
				return f.Flows, f.fault(err)
			}
		}
		if err := p.take(line); err != nil {
			return f.Flows, f.fault(err)
		}
	}
	if err := lines.Err(); err != nil {
		f.Lines++
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("a line of more than %d bytes", maxLine)
		}
		return f.Flows, f.fault(err)
	}
	return f.Flows, nil
}

// unzip looks through gzip.
func unzip(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	magic, err := b.Peek(2)
	if err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return b, nil // an error of the reader comes again
	}
	return gzip.NewReader(b)
}

// flowFile is one file while it is read.
type flowFile struct {
	FlowOptions
	Flows
	name string
	emit func(Client)
}

func (f *flowFile) fault(err error) error {
	return fmt.Errorf("listen: %s:%d: %w", f.name, f.Lines, err)
}

// parser chooses by the format that was asked for, or by the first line.
func (f *flowFile) parser(line string) (parser, error) {
	format := f.Flows.Format
	if format == "" {
		format = recognise(line)
	}
	f.Flows.Format = format
	switch format {
	case "conntrack":
		return conntrack{f}, nil
	case "ss":
		return &sockets{flowFile: f}, nil
	case "zeek-tsv":
		return &zeekTSV{flowFile: f, separator: "\t", unset: "-"}, nil
	case "zeek-json":
		return zeekJSON{f}, nil
	case "aws-vpc":
		return &vpc{flowFile: f}, nil
	case "csv", "nfdump":
		return &sheet{flowFile: f}, nil
	default:
		return nil, fmt.Errorf("%s is the start of no known format: want %s", quote(line), strings.Join(FlowFormats(), ", "))
	}
}

// recognise tells a format by the first line that is not empty.
func recognise(line string) string {
	words := strings.Fields(line)
	switch {
	case strings.HasPrefix(line, "#separator") || strings.HasPrefix(line, "#fields"):
		return "zeek-tsv"
	case strings.HasPrefix(line, "{"):
		return "zeek-json"
	case isConntrack(words):
		return "conntrack"
	case slices.Contains(words, "srcaddr") && slices.Contains(words, "dstaddr"), isVPC(words):
		return "aws-vpc"
	case isSockets(words):
		return "ss"
	}
	cells := columnsOf(line)
	switch {
	case cells == nil:
		return ""
	case slices.Contains(cells, "sa") && slices.Contains(cells, "da"), slices.Contains(cells, "srcaddr") && slices.Contains(cells, "dstaddr"):
		return "nfdump"
	default:
		return "csv"
	}
}

// flow is one flow as a file tells of it. src began it where told says so.
type flow struct {
	src, dst    netip.AddrPort
	proto       registry.Proto
	use         Use
	told        Told
	count       uint64
	first, last time.Time
	name        string
}

// add takes a flow from the client to the server.
func (f *flowFile) add(x flow) {
	port := registry.Port{Number: x.dst.Port(), Proto: x.proto}
	if !slices.Contains(f.Ports, port) {
		f.Other++
		return
	}
	f.Taken++
	f.hand(x)
}

// hand makes a client of a flow.
func (f *flowFile) hand(x flow) {
	if x.last.IsZero() {
		x.last = x.first
	}
	if x.first.IsZero() { // one of the two is what a plain CSV has
		x.first = x.last
	}
	if x.first.IsZero() {
		x.first, x.last = f.At, f.At
	}
	if !f.Names {
		x.name = ""
	}
	f.emit(Client{
		Addr: x.src.Addr(), Server: x.dst.Addr(), Port: registry.Port{Number: x.dst.Port(), Proto: x.proto},
		Use: x.use, Told: x.told, Count: max(x.count, 1), First: x.first.UTC(), Last: x.last.UTC(), Name: x.name, Source: f.name,
	})
}

// addEither takes a flow of which it is not known who began it: the side whose
// port is of interest is the server, unless the other could be one too. use is
// asked for with whether src is the client.
func (f *flowFile) addEither(x flow, use func(fromClient bool) Use) {
	from := slices.Contains(f.Ports, registry.Port{Number: x.src.Port(), Proto: x.proto})
	to := slices.Contains(f.Ports, registry.Port{Number: x.dst.Port(), Proto: x.proto})
	x.told = ByPort
	switch {
	case !from && !to:
		f.Other++
	case from && to, from && x.dst.Port() < 1024, to && x.src.Port() < 1024 && x.src.Port() > 0:
		f.Ambiguous++
	case to:
		x.use = use(true)
		f.add(x)
	default:
		x.use = use(false)
		x.src, x.dst = x.dst, x.src
		f.add(x)
	}
}

// parseEnds parses the two ends of a flow.
func parseEnds(src, sport, dst, dport string) (a, b netip.AddrPort, err error) {
	if a, err = parseEnd(src, sport); err != nil {
		return a, b, err
	}
	b, err = parseEnd(dst, dport)
	return a, b, err
}

func parseEnd(addr, port string) (netip.AddrPort, error) {
	a, err := parseAddr(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := parsePort(port)
	return netip.AddrPortFrom(a, n), err
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("address %s: want an IPv4 or IPv6 address", quote(s))
	}
	return a.Unmap().WithZone(""), nil
}

// parsePort reads 0 to 65535: tools write 0 where there is none.
func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("port %s: want a number from 0 to 65535", quote(s))
	}
	return uint16(n), nil
}

// parseProto reads a transport by name or number; 0 is another protocol.
func parseProto(s string) registry.Proto {
	switch strings.ToLower(s) {
	case "tcp", "6":
		return registry.TCP
	case "udp", "17":
		return registry.UDP
	default: // foreign input
		return 0
	}
}

// parseTime reads seconds since 1970 with or without a fraction, RFC 3339, or
// "2006-01-02 15:04:05.999", which is taken as UTC.
func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil && t.Year() < 10000 {
		return t.UTC(), nil
	}
	if t, err := time.Parse("2006-01-02 15:04:05", s); err == nil { // a fraction is accepted
		return t, nil
	}
	sec, err := strconv.ParseFloat(s, 64)
	const last = 1 << 36 // about the year 4147
	if err != nil || !(sec >= 0 && sec < last) {
		return time.Time{}, fmt.Errorf("time %s: want seconds since 1970, 2006-01-02T15:04:05Z or 2006-01-02 15:04:05", quote(s))
	}
	whole := int64(sec)
	return time.Unix(whole, int64((sec-float64(whole))*1e6)*1000).UTC(), nil
}

// quote shows a value of a file in an error: escaped, at most 60 bytes of it.
func quote(s string) string {
	if len(s) > 60 {
		return strconv.QuoteToASCII(s[:60]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
