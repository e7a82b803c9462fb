package registry

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"dormant/registry/durable"
	"dormant/registry/yamlfile"
)

// maxIANA is the largest list that is read, in bytes: IANA's is about 1.1 MB.
const maxIANA = 32 << 20

// Registration is one row of IANA's Service Name and Transport Protocol Port
// Number Registry. Texts are as IANA wrote them, line breaks folded to spaces.
type Registration struct {
	Service      string `json:"service"` // "" where the number is reserved or unassigned
	First        uint16 `json:"first"`   // the row holds for First to Last
	Last         uint16 `json:"last"`
	Proto        Proto  `json:"transport"` // 0: the row names none and holds for all
	Description  string `json:"description"`
	Assignee     string `json:"assignee,omitempty"`
	Contact      string `json:"contact,omitempty"`
	Registered   string `json:"registered,omitempty"` // a day or a month: "2010-07-23", "2002-08"
	Modified     string `json:"modified,omitempty"`
	Reference    string `json:"reference,omitempty"`
	Unauthorized string `json:"unauthorized_use,omitempty"`
	Notes        string `json:"notes,omitempty"`
}

// Holds reports whether the row speaks of p.
func (r Registration) Holds(p Port) bool {
	return r.First <= p.Number && p.Number <= r.Last && (r.Proto == 0 || r.Proto == p.Proto)
}

// IANA is the imported list. It is immutable, and nil is an empty list.
type IANA struct {
	rows   []Registration
	single map[uint16][]int // rows of one number, by number
	ranges []int            // rows of more than one
}

// Len counts the rows that were kept.
func (n *IANA) Len() int {
	if n == nil {
		return 0
	}
	return len(n.rows)
}

// Lookup returns the rows that hold for p in the order of the list, those of
// the number itself before those of a range.
func (n *IANA) Lookup(p Port) []Registration {
	if n == nil {
		return nil
	}
	var found []Registration
	for _, set := range [][]int{n.single[p.Number], n.ranges} {
		for _, i := range set {
			if n.rows[i].Holds(p) {
				found = append(found, n.rows[i])
			}
		}
	}
	return found
}

// columns are those that IANA publishes, in its order.
func columns() []string {
	return []string{"Service Name", "Port Number", "Transport Protocol", "Description", "Assignee", "Contact",
		"Registration Date", "Modification Date", "Reference", "Service Code", "Unauthorized Use Reported",
		"Assignment Notes"}
}

// ParseIANA reads the list service-names-port-numbers.csv as IANA publishes
// it. Rows without a port, and rows of a transport other than tcp and udp, are
// checked and passed over. The first fault ends it, with its line; nothing is
// returned then.
func ParseIANA(r io.Reader) (*IANA, error) {
	limited := &io.LimitedReader{R: r, N: maxIANA + 1}
	end := &lastByte{Reader: limited}
	in := bufio.NewReader(end)
	if mark, _ := in.Peek(3); string(mark) == "\ufeff" {
		_, _ = in.Discard(3) // the mark that spreadsheets put in front: peeked, so it is there
	}
	c := csv.NewReader(in)
	c.FieldsPerRecord = len(columns())
	c.ReuseRecord = true
	if err := header(c); err != nil {
		return nil, err
	}
	n := &IANA{single: map[uint16][]int{}}
	for {
		record, err := c.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			if _, more := in.Peek(1); more == io.EOF && end.last != '\n' && limited.N > 0 {
				return nil, cutShort(err)
			}
			return nil, csvError(err)
		}
		line, _ := c.FieldPos(0)
		reg, keep, err := parseRow(record)
		if err != nil {
			return nil, fmt.Errorf("registry: IANA list: line %d: %w", line, err)
		}
		if keep {
			n.add(reg)
		}
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("registry: IANA list: more than %d bytes: not the list that IANA publishes", maxIANA)
	}
	if len(n.rows) == 0 {
		return nil, errors.New("registry: IANA list: no row with a tcp or udp port")
	}
	return n, nil
}

func header(c *csv.Reader) error {
	got, err := c.Read()
	if err == io.EOF {
		return errors.New("registry: IANA list: line 1: empty: want the header Service Name,Port Number,…")
	}
	if err != nil {
		return csvError(err)
	}
	for i, want := range columns() {
		if got[i] != want {
			return fmt.Errorf("registry: IANA list: line 1: column %d is %q: want %q", i+1, yamlfile.Clip(got[i]), want)
		}
	}
	return nil
}

// lastByte remembers the last byte that was read: a text that does not end in a
// line end may be one that was cut short.
type lastByte struct {
	io.Reader
	last byte
}

func (l *lastByte) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.last = p[n-1]
	}
	return n, err
}

// cutShort is the fault of a last row that has neither all its columns nor a
// line end.
func cutShort(err error) error {
	e, ok := errors.AsType[*csv.ParseError](err)
	if !ok {
		return csvError(err)
	}
	return fmt.Errorf("registry: IANA list: line %d: the list ends in the middle of this row: want the whole file", e.StartLine)
}

// csvError gives a fault of the CSV form its line and what was expected.
func csvError(err error) error {
	e, ok := errors.AsType[*csv.ParseError](err)
	if !ok {
		return fmt.Errorf("registry: IANA list: %w", err)
	}
	if errors.Is(e.Err, csv.ErrFieldCount) {
		return fmt.Errorf("registry: IANA list: line %d: want the %d columns that IANA publishes", e.Line, len(columns()))
	}
	return fmt.Errorf("registry: IANA list: line %d, column %d: %w", e.Line, e.Column, e.Err)
}

// parseRow checks one row. keep is false for a row that is no tcp or udp port.
func parseRow(f []string) (reg Registration, keep bool, err error) {
	for i, s := range f {
		if !utf8.ValidString(s) {
			return reg, false, fmt.Errorf("%s %q: want UTF-8", columns()[i], yamlfile.Clip(s))
		}
	}
	first, last, numbered, err := parseNumbers(f[1])
	if err != nil {
		return reg, false, err
	}
	reg = Registration{
		Service: fold(f[0]), First: first, Last: last, Description: fold(f[3]), Assignee: fold(f[4]), Contact: fold(f[5]),
		Registered: fold(f[6]), Modified: fold(f[7]), Reference: fold(f[8]), Unauthorized: fold(f[10]), Notes: fold(f[11]),
	}
	switch f[2] {
	case "tcp":
		reg.Proto = TCP
	case "udp":
		reg.Proto = UDP
	case "": // reserved and unassigned numbers name no transport
	case "sctp", "dccp":
		numbered = false
	default:
		return reg, false, fmt.Errorf("transport %q: want tcp, udp, sctp, dccp or nothing", yamlfile.Clip(f[2]))
	}
	return reg, numbered && last > 0, nil
}

// parseNumbers reads "", "475" and "6000-6063". numbered is false for "".
// Number 0, which no socket can have, is in the list as reserved.
func parseNumbers(s string) (first, last uint16, numbered bool, err error) {
	if s == "" {
		return 0, 0, false, nil
	}
	a, b, ranged := strings.Cut(s, "-")
	if !ranged {
		b = a
	}
	x, errA := strconv.ParseUint(a, 10, 16)
	y, errB := strconv.ParseUint(b, 10, 16)
	if errA != nil || errB != nil || x > y {
		return 0, 0, false, fmt.Errorf("port number %q: want a number up to 65535, or a range like 6000-6063", yamlfile.Clip(s))
	}
	return uint16(x), uint16(y), true, nil
}

func (n *IANA) add(reg Registration) {
	i := len(n.rows)
	n.rows = append(n.rows, reg)
	if reg.First == reg.Last {
		n.single[reg.First] = append(n.single[reg.First], i)
	} else {
		n.ranges = append(n.ranges, i)
	}
}

// fold makes a text one line of printable characters: the list is foreign
// input, and its texts go to terminals.
func fold(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// LoadIANA reads a list from a file: IANA's own, or one that Save stored. The
// error of a missing file is fs.ErrNotExist.
func LoadIANA(path string) (*IANA, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	defer f.Close() // only read
	n, err := ParseIANA(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// Save stores the rows that were kept, in IANA's columns, under path: the
// folder is made, and the file appears whole or not at all.
func (n *IANA) Save(path string) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	f, err := os.CreateTemp(dir, ".iana-*.csv")
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error is the one that matters
		}
	}()
	err = errors.Join(n.Encode(f), f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = durable.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("registry: save IANA list: %w", err)
	}
	return nil
}

// Encode writes the rows that were kept as CSV in IANA's columns: ParseIANA
// reads it back to an equal list.
func (n *IANA) Encode(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write(columns()) // csv.Writer keeps its first error for Error
	for _, r := range n.rows {
		number := strconv.Itoa(int(r.First))
		if r.Last != r.First {
			number += "-" + strconv.Itoa(int(r.Last))
		}
		proto := ""
		if r.Proto != 0 {
			proto = r.Proto.String()
		}
		_ = c.Write([]string{r.Service, number, proto, r.Description, r.Assignee, r.Contact, r.Registered,
			r.Modified, r.Reference, "", r.Unauthorized, r.Notes})
	}
	c.Flush()
	return c.Error()
}
