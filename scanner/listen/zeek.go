package listen

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"dormant/registry"
)

// zeekUse is how far a connection came, by Zeek's conn_state.
func zeekUse(proto registry.Proto, state string) Use {
	switch state {
	case "S0", "SH", "RSTOS0": // a SYN, no answer
		return Attempted
	case "REJ":
		return Refused
	case "SHR", "RSTRH": // the answer only
		return Answered
	case "S1", "S2", "S3", "SF", "RSTO", "RSTR":
		return Used
	case "OTH": // joined in the middle
		if proto == registry.TCP {
			return Used
		}
		return Attempted
	default: // the field is missing or foreign
		return Attempted
	}
}

// zeekTSV reads conn.log as Zeek writes it: lines of # that say how, then one
// connection a line.
type zeekTSV struct {
	*flowFile
	separator string
	unset     string // what stands for "no value"
	fields    []string
}

func (z *zeekTSV) take(line string) error {
	if strings.HasPrefix(line, "#") {
		return z.directive(line)
	}
	if z.fields == nil {
		return errors.New("a connection before the line #fields")
	}
	cells := strings.Split(line, z.separator)
	if len(cells) != len(z.fields) {
		return fmt.Errorf("%d fields: #fields names %d", len(cells), len(z.fields))
	}
	get := func(field string) string {
		i := slices.Index(z.fields, field)
		if i < 0 || cells[i] == z.unset {
			return ""
		}
		return cells[i]
	}
	return z.connection(zeekConn{
		ts: get("ts"), duration: get("duration"), proto: get("proto"), state: get("conn_state"),
		orig: get("id.orig_h"), resp: get("id.resp_h"), origPort: get("id.orig_p"), respPort: get("id.resp_p"),
	})
}

func (z *zeekTSV) directive(line string) error {
	if rest, ok := strings.CutPrefix(line, "#separator "); ok { // as \x09
		b, err := strconv.ParseUint(strings.TrimPrefix(rest, `\x`), 16, 8)
		if err != nil || !strings.HasPrefix(rest, `\x`) || b > 127 {
			return fmt.Errorf(`#separator %s: want one byte as \x09`, quote(rest))
		}
		z.separator = string(rune(b))
		return nil
	}
	words := strings.Split(line, z.separator)
	switch words[0] {
	case "#fields":
		for _, need := range []string{"id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"} {
			if !slices.Contains(words, need) {
				return fmt.Errorf("#fields has no %s: want a conn.log", need)
			}
		}
		z.fields = words[1:]
	case "#unset_field":
		if len(words) == 2 {
			z.unset = words[1]
		}
	}
	return nil
}

// zeekConn is one connection, as text; "" is unset.
type zeekConn struct {
	ts, duration, proto, state     string
	orig, resp, origPort, respPort string
}

func (f *flowFile) connection(z zeekConn) error {
	proto := parseProto(z.proto)
	if proto == 0 {
		f.Other++
		return nil
	}
	client, server, err := parseEnds(z.orig, z.origPort, z.resp, z.respPort)
	if err != nil {
		return err
	}
	x := flow{src: client, dst: server, proto: proto, use: zeekUse(proto, z.state), told: ByFlow}
	if z.ts != "" {
		if x.first, err = parseTime(z.ts); err != nil {
			return err
		}
	}
	if z.duration != "" {
		d, err := strconv.ParseFloat(z.duration, 64)
		if err != nil || !(d >= 0 && d < 1e9) {
			return fmt.Errorf("duration %s: want seconds", quote(z.duration))
		}
		x.last = x.first.Add(time.Duration(d * float64(time.Second)))
	}
	if x.use == Attempted && toAll(server.Addr()) {
		x.use = Announced
	}
	f.add(x)
	return nil
}

// toAll reports whether an address is a broadcast's or a multicast's, as far
// as the address alone tells.
func toAll(a netip.Addr) bool {
	return a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// zeekJSON reads conn.log as JSON, one object a line.
type zeekJSON struct{ *flowFile }

func (z zeekJSON) take(line string) error {
	var c struct {
		TS       json.RawMessage `json:"ts"` // a number, or text
		Orig     string          `json:"id.orig_h"`
		OrigPort json.Number     `json:"id.orig_p"`
		Resp     string          `json:"id.resp_h"`
		RespPort json.Number     `json:"id.resp_p"`
		Proto    string          `json:"proto"`
		State    string          `json:"conn_state"`
		Duration json.Number     `json:"duration"`
	}
	if err := json.Unmarshal([]byte(line), &c); err != nil {
		return fmt.Errorf("want one JSON object of Zeek's conn.log: %w", err)
	}
	if c.Proto == "" || c.Orig == "" {
		return errors.New("want an object with proto, id.orig_h, id.orig_p, id.resp_h, id.resp_p")
	}
	return z.connection(zeekConn{
		ts: strings.Trim(string(c.TS), `"`), duration: c.Duration.String(), proto: c.Proto, state: c.State,
		orig: c.Orig, resp: c.Resp, origPort: c.OrigPort.String(), respPort: c.RespPort.String(),
	})
}
