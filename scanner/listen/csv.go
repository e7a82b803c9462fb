package listen

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"dormant/registry"
)

// sheet reads CSV by the names of its header: what dormant listen writes, what
// nfdump -o csv writes in its old and new form, and what people write. The
// delimiter is a comma, semicolon or tab.
type sheet struct {
	*flowFile
	comma rune
	at    map[string]int // meaning -> column
	ended bool           // nfdump's summary began: what follows are no flows
	told  bool           // columns say client and server: no direction to find out
}

// meanings are the columns that are understood, in lower case with _ for blanks
// and dashes, by what they mean. The first of a list is what listen writes.
func meanings() map[string][]string {
	return map[string][]string{
		"client": {"client", "client_ip", "client_addr", "client_address"},
		"src":    {"src", "source", "src_ip", "source_ip", "srcip", "srcaddr", "src_addr", "source_address", "sa", "id.orig_h"},
		"server": {"server", "server_ip", "server_addr", "server_address"},
		"dst":    {"dst", "destination", "dst_ip", "destination_ip", "dest_ip", "dstip", "dstaddr", "dst_addr", "destination_address", "da", "id.resp_h"},
		"sport":  {"sport", "src_port", "srcport", "source_port", "sp", "id.orig_p"},
		"port":   {"port", "dport", "dst_port", "dstport", "destination_port", "dest_port", "server_port", "dp", "id.resp_p"},
		"proto":  {"transport", "proto", "protocol", "pr"},
		"first":  {"first_seen", "firstseen", "first", "ts", "start", "time", "timestamp"},
		"last":   {"last_seen", "lastseen", "last", "te", "end"},
		"count":  {"count", "connections", "hits"},
		"use":    {"use"}, "told": {"told_by"}, "name": {"client_name", "hostname"},
		"flags":   {"flags", "flg", "tcp_flags"},
		"packets": {"packets", "ipkt", "pkt"}, "bytes": {"bytes", "ibyt", "byt"},
	}
}

func commas() []rune { return []rune{',', ';', '\t'} }

// columnsOf returns the names of a header, nil for a line that is none.
func columnsOf(line string) []string {
	for _, comma := range commas() {
		cells, err := cellsOf(line, comma)
		if err != nil {
			continue
		}
		for i, c := range cells {
			cells[i] = strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(c)))
		}
		at := locate(cells)
		_, port := at["port"]
		_, client := at["client"]
		_, src := at["src"]
		if port && (client || src) {
			return cells
		}
	}
	return nil
}

// locate finds the columns of a header by meaning; the first name of a meaning
// that is there wins.
func locate(cells []string) map[string]int {
	at := map[string]int{}
	for meaning, names := range meanings() {
		for _, name := range names {
			if i := slices.Index(cells, name); i >= 0 {
				at[meaning] = i
				break
			}
		}
	}
	return at
}

// cellsOf splits one line. A quoted cell ends on its line.
func cellsOf(line string, comma rune) ([]string, error) {
	if !strings.Contains(line, `"`) {
		return strings.Split(line, string(comma)), nil
	}
	r := csv.NewReader(strings.NewReader(line))
	r.Comma, r.FieldsPerRecord = comma, -1
	cells, err := r.Read()
	if err == nil {
		if _, more := r.Read(); more != io.EOF {
			err = csv.ErrQuote
		}
	}
	if err != nil {
		return nil, errors.New("a cell with a quote that does not end on its line")
	}
	return cells, nil
}

func (t *sheet) take(line string) error {
	if strings.HasPrefix(line, "#") || t.ended {
		return nil
	}
	if t.at == nil {
		return t.header(line)
	}
	if t.Flows.Format == "nfdump" && (line == "Summary" || line == "No matched flows") {
		t.ended = true
		return nil
	}
	cells, err := cellsOf(line, t.comma)
	if err != nil {
		return err
	}
	if len(cells) < t.width() {
		return fmt.Errorf("%d cells: the header has columns up to %d", len(cells), t.width())
	}
	get := func(meaning string) string {
		i, ok := t.at[meaning]
		if !ok {
			return ""
		}
		return strings.TrimSpace(cells[i])
	}
	return t.record(get)
}

// width is how many cells a line needs to have.
func (t *sheet) width() int {
	n := 0
	for _, i := range t.at {
		n = max(n, i+1)
	}
	return n
}

func (t *sheet) header(line string) error {
	cells := columnsOf(line)
	if cells == nil {
		return fmt.Errorf("%s: want a header with columns client, server and port (or src, dst, dport)", quote(line))
	}
	t.at = locate(cells)
	for _, t.comma = range commas() {
		if same, err := cellsOf(line, t.comma); err == nil && len(same) == len(cells) {
			break
		}
	}
	if i, ok := t.at["client"]; ok {
		t.at["src"], t.told = i, true
	}
	if i, ok := t.at["server"]; ok {
		t.at["dst"] = i
	}
	if _, ok := t.at["dst"]; !ok {
		return errors.New("the header has no column server (or dst, destination_ip, da)")
	}
	return nil
}

func (t *sheet) record(get func(string) string) (err error) {
	x := flow{}
	if x.proto, err = t.transport(get("proto"), get("port")); err != nil {
		return err
	}
	if x.proto == 0 {
		t.Other++
		return nil
	}
	sport := get("sport")
	if sport == "" {
		sport = "0"
	}
	port, _, _ := strings.Cut(get("port"), "/")
	if x.src, x.dst, err = parseEnds(get("src"), sport, get("dst"), port); err != nil {
		return err
	}
	for _, f := range []struct {
		meaning string
		into    *time.Time
	}{{"first", &x.first}, {"last", &x.last}} {
		if s := get(f.meaning); s != "" {
			if *f.into, err = parseTime(s); err != nil {
				return err
			}
		}
	}
	if x.count, err = number("count", get("count")); err != nil {
		return err
	}
	x.name = strings.TrimPrefix(get("name"), "'") // the guard against formulas
	if _, directed := t.at["sport"]; t.told || !directed {
		return t.named(x, get)
	}
	return t.directed(x, get)
}

// transport reads the column, or what stands behind the slash of the port.
func (t *sheet) transport(proto, port string) (registry.Proto, error) {
	_, behind, slash := strings.Cut(port, "/")
	switch {
	case slash && parseProto(behind) == 0:
		return 0, fmt.Errorf("port %s: want tcp or udp behind the slash", quote(port))
	case slash:
		return parseProto(behind), nil
	case proto == "":
		return 0, errors.New("no transport: want a column transport, or the port as 1947/tcp")
	default:
		return parseProto(proto), nil
	}
}

// named takes a line that says who is the client.
func (t *sheet) named(x flow, get func(string) string) (err error) {
	x.use, x.told = Used, ByFlow // whoever made the list calls it a client
	if s := get("use"); s != "" {
		if x.use, err = ParseUse(s); err != nil {
			return err
		}
	}
	if s := get("told"); s != "" {
		if x.told, err = ParseTold(s); err != nil {
			return err
		}
	}
	t.add(x)
	return nil
}

// directed takes one direction of a flow, as NetFlow tells of it.
func (t *sheet) directed(x flow, get func(string) string) (err error) {
	s := traffic{proto: x.proto}
	if s.packets, err = number("packets", get("packets")); err != nil {
		return err
	}
	if s.bytes, err = number("bytes", get("bytes")); err != nil {
		return err
	}
	if s.flags, err = flagLetters(get("flags")); err != nil {
		return err
	}
	s.lone = s.flags == flagSYN
	x.count = max(x.count, 1)
	t.addEither(x, s.use)
	return nil
}

// flagLetters reads TCP flags as nfdump writes them, "...AP.SF", or as a
// number.
func flagLetters(s string) (uint8, error) {
	if digits, hex := strings.CutPrefix(s, "0x"); hex || isDigits(s) {
		base := 10 // also with zeros in front
		if hex {
			base = 16
		}
		n, err := strconv.ParseUint(digits, base, 8)
		if err != nil {
			return 0, fmt.Errorf("TCP flags %s: want 0 to 255", quote(s))
		}
		return uint8(n), nil
	}
	var flags uint8
	for _, c := range s {
		switch c {
		case 'F':
			flags |= flagFIN
		case 'S':
			flags |= flagSYN
		case 'R':
			flags |= flagRST
		case 'P':
			flags |= flagPSH
		case 'A':
			flags |= flagACK
		case 'U', 'E', 'C', 'W', 'X', '.', ' ':
		default: // foreign input
			return 0, fmt.Errorf("TCP flags %s: want letters of UAPRSF, or a number", quote(s))
		}
	}
	return flags, nil
}
