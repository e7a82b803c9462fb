package listen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// vpc reads AWS VPC flow logs: words in the order of a header line, or without
// one in that of version 2. Each line is one direction. Behind a header the
// file may have been made with a custom format.
type vpc struct {
	*flowFile
	fields []string
}

// vpcFields is the default format, version 2.
func vpcFields() []string {
	return []string{"version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport",
		"protocol", "packets", "bytes", "start", "end", "action", "log-status"}
}

// isVPC tells a line of version 2, also behind the time that CloudWatch adds.
func isVPC(words []string) bool {
	words = untimed(words)
	return len(words) == len(vpcFields()) && words[0] == "2" &&
		slices.Contains([]string{"OK", "NODATA", "SKIPDATA"}, words[13])
}

func untimed(words []string) []string {
	if len(words) > 0 {
		if _, err := time.Parse(time.RFC3339Nano, words[0]); err == nil {
			return words[1:]
		}
	}
	return words
}

func (v *vpc) take(line string) error {
	words := strings.Fields(line)
	if slices.Contains(words, "srcaddr") {
		for _, need := range []string{"srcaddr", "dstaddr", "srcport", "dstport", "protocol"} {
			if !slices.Contains(words, need) {
				return fmt.Errorf("the header has no %s", need)
			}
		}
		v.fields = words
		return nil
	}
	if v.fields == nil {
		v.fields = vpcFields()
	}
	if len(words) == len(v.fields)+1 {
		words = untimed(words)
	}
	if len(words) != len(v.fields) {
		return fmt.Errorf("%d fields: want %d, %s", len(words), len(v.fields), strings.Join(v.fields, " "))
	}
	get := func(field string) string {
		i := slices.Index(v.fields, field)
		if i < 0 || words[i] == "-" {
			return ""
		}
		return words[i]
	}
	switch get("log-status") {
	case "SKIPDATA":
		v.NotLogged++
		return nil
	case "NODATA":
		return nil
	}
	return v.record(get)
}

func (v *vpc) record(get func(string) string) error {
	proto := parseProto(get("protocol"))
	if proto == 0 {
		v.Other++
		return nil
	}
	src, dst, err := parseEnds(get("srcaddr"), get("srcport"), get("dstaddr"), get("dstport"))
	if err != nil {
		return err
	}
	x := flow{src: src, dst: dst, proto: proto, count: 1}
	if s := get("start"); s != "" {
		if x.first, err = parseTime(s); err != nil {
			return err
		}
	}
	if s := get("end"); s != "" {
		if x.last, err = parseTime(s); err != nil {
			return err
		}
	}
	t := traffic{proto: proto}
	if t.packets, err = number("packets", get("packets")); err != nil {
		return err
	}
	if t.bytes, err = number("bytes", get("bytes")); err != nil {
		return err
	}
	if s := get("tcp-flags"); s != "" {
		// The log sets FIN, SYN and RST only, and ACK with SYN; so there is no
		// telling of data by them, but of a handshake.
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil {
			return fmt.Errorf("tcp-flags %s: want 0 to 255", quote(s))
		}
		t.flags, t.lone = uint8(n), n == flagSYN && t.average() <= emptySegment
	}
	rejected := get("action") == "REJECT"
	v.addEither(x, func(fromClient bool) Use {
		if rejected {
			return Refused
		}
		return t.use(fromClient)
	})
	return nil
}

// number reads a count; "" is 0.
func number(what, s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s %s: want a number", what, quote(s))
	}
	return n, nil
}
