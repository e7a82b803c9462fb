package reports

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// JSONL writes one JSON object a line. Its keys are the columns of schema v1,
// with their types: numbers, null where nothing is known, lists as arrays. The
// version is as the peer wrote it, without the CSV's v. "judgement" is added
// where there is a verdict: all of its signs, also those that lost. The output
// is ASCII.
type JSONL struct {
	w    io.Writer
	cols []column
	line []byte
}

var _ Sink = (*JSONL)(nil)

// NewJSONL returns the sink that writes to w.
func NewJSONL(w io.Writer) *JSONL { return &JSONL{w: w, cols: columns()} }

// Write writes one line.
func (j *JSONL) Write(_ context.Context, f Finding) error {
	b := append(j.line[:0], '{')
	for i := range j.cols {
		c := &j.cols[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, c.name), ':')
		b = c.appendJSON(b, &f)
	}
	if f.Full != nil {
		v, err := json.Marshal(f.Full)
		if err != nil {
			return fmt.Errorf("reports: judgement of %s: %w", endpoint(&f), err)
		}
		b = append(b, `,"judgement":`...)
		b = appendASCII(b, v)
	}
	j.line = append(b, '}', '\n')
	if _, err := j.w.Write(j.line); err != nil {
		return fmt.Errorf("reports: write JSONL: %w", err)
	}
	return nil
}

// Close has nothing to complete: no line is a valid file.
func (j *JSONL) Close() error { return nil }

// appendJSON appends the value in its type.
func (c *column) appendJSON(b []byte, f *Finding) []byte {
	if c.kind == aList {
		b = append(b, '[')
		for i, s := range c.list(f) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, escape(s, c.limit))
		}
		return append(b, ']')
	}
	s := c.plain(f)
	switch c.kind {
	case anInteger, aDecimal:
		if s == "" {
			return append(b, "null"...)
		}
		return append(b, s...)
	case aTimestamp:
		if s == "" {
			return append(b, "null"...)
		}
		return appendString(b, s)
	case aText, aVersion, aList:
		return appendString(b, escape(s, c.limit))
	default:
		return appendString(b, escape(s, c.limit))
	}
}

// appendString appends a JSON string; s is printable ASCII.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// appendASCII appends a JSON text with everything beyond printable ASCII in its
// strings written as \uNNNN, so that no terminal acts on it.
func appendASCII(b, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		switch {
		case r < 0x7f: // json.Marshal has escaped what is below the space
			b = append(b, byte(r))
		case r > 0xffff: // a surrogate pair
			r -= 0x10000
			b = appendUnit(appendUnit(b, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			b = appendUnit(b, r)
		}
	}
	return b
}

func appendUnit(b []byte, r rune) []byte {
	const zeros = "0000"
	hex := strconv.FormatInt(int64(r), 16)
	return append(append(append(b, '\\', 'u'), zeros[len(hex):]...), hex...)
}
