package fingerprint

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// condition is one compiled test of one field. It is immutable.
type condition struct {
	field    string // "data", "header:server" (the name in lower case), "cert:subject"
	computed handshake

	pattern  *pattern // over the Latin-1 reading of the field
	equals   *string
	contains *string
	prefix   []int // byte values, -1 for any
	absent   bool
	min, max *int
}

// condition checks and compiles f.
func (f conditionFile) condition() (condition, error) {
	c := condition{field: f.Field, absent: f.Absent, min: f.Min, max: f.Max}
	if f.Computed != "" {
		if f.Field != "" || f.tests() != 0 {
			return c, errors.New("computed stands alone: no field, no test")
		}
		var ok bool
		if c.computed, ok = handshakes()[f.Computed]; !ok {
			return c, fmt.Errorf("computed %q: no such rule in handshakes.go", f.Computed)
		}
		return c, nil
	}
	if name, ok := strings.CutPrefix(f.Field, "header:"); ok {
		c.field = "header:" + strings.ToLower(name)
	}
	if !knownField(c.field) {
		return c, fmt.Errorf("field %q: want data, status, header:NAME, body, title, length, end, first_byte_ms, cert:…, tls:version, alpn or body:sha1", f.Field)
	}
	if n := f.tests(); n != 1 {
		return c, fmt.Errorf("field %s has %d tests: want one of pattern, equals, contains, hex, absent, min/max", f.Field, n)
	}
	switch {
	case f.Pattern != nil:
		var err error
		c.pattern, err = newPattern(*f.Pattern)
		return c, err
	case f.Equals != nil:
		s := latin1([]byte(*f.Equals))
		c.equals = &s
	case f.Contains != nil:
		if *f.Contains == "" {
			return c, errors.New("contains is empty")
		}
		s := latin1([]byte(*f.Contains))
		c.contains = &s
	case f.Hex != nil:
		return c, c.bytes(*f.Hex)
	}
	return c, nil
}

// tests counts the tests given; min and max are one together.
func (f conditionFile) tests() int {
	n := 0
	for _, given := range [...]bool{
		f.Pattern != nil, f.Equals != nil, f.Contains != nil, f.Hex != nil, f.Absent, f.Min != nil || f.Max != nil,
	} {
		if given {
			n++
		}
	}
	return n
}

// bytes reads the form "05 00 ?? 2c": a prefix in hex, ?? for any byte.
func (c *condition) bytes(text string) error {
	s := strings.ReplaceAll(text, " ", "")
	if len(s)%2 != 0 || s == "" {
		return fmt.Errorf("hex %q: want pairs of hex digits, ?? for any byte", text)
	}
	for i := 0; i < len(s); i += 2 {
		if s[i:i+2] == "??" {
			c.prefix = append(c.prefix, -1)
			continue
		}
		v, err := strconv.ParseUint(s[i:i+2], 16, 8)
		if err != nil {
			return fmt.Errorf("hex %q: %q is no byte: want two hex digits or ??", text, s[i:i+2])
		}
		c.prefix = append(c.prefix, int(v))
	}
	return nil
}

// groups lists what the condition can extract.
func (c *condition) groups() []string {
	if c.computed != nil {
		return groupNames()
	}
	if c.pattern == nil {
		return nil
	}
	return c.pattern.groups()
}

// fieldValue is one value of a field in Latin-1, with its lower-case form made
// when a rule first needs it.
type fieldValue struct {
	text  string
	open  bool // there may be more behind it, which did not come
	lower *string
}

func (v fieldValue) folded() string {
	if *v.lower == "" && v.text != "" {
		*v.lower = lowerASCII(v.text)
	}
	return *v.lower
}

// cheap reports whether the test costs no automaton.
func (c *condition) cheap() bool { return c.pattern == nil && c.computed == nil }

// test holds the condition against one value of its field. where is
// the matched part; groups are what the pattern extracted.
func (c *condition) test(value fieldValue) (where string, groups map[string]string, ok bool) {
	switch {
	case c.pattern != nil:
		return c.pattern.test(value)
	case c.equals != nil:
		return value.text, nil, value.text == *c.equals
	case c.contains != nil:
		return *c.contains, nil, strings.Contains(value.text, *c.contains)
	case c.prefix != nil:
		return c.testPrefix(value.text)
	default: // min and max
		n, err := strconv.Atoi(value.text)
		return value.text, nil, err == nil && (c.min == nil || n >= *c.min) && (c.max == nil || n <= *c.max)
	}
}

func (c *condition) testPrefix(value string) (string, map[string]string, bool) {
	i := 0
	for at, r := range value {
		if i == len(c.prefix) {
			return value[:at], nil, true
		}
		if c.prefix[i] >= 0 && rune(c.prefix[i]) != r {
			return "", nil, false
		}
		i++
	}
	return value, nil, i == len(c.prefix)
}
