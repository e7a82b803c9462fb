package agent

import (
	"encoding/binary"
	"errors"
)

// record is one message in the spool, as it is published.
type record struct {
	subject string
	id      string // the message id
	results uint64 // how many it holds
	// finishes is what is done with it, the zero value if nothing is.
	finishes finish
	data     []byte // at least one byte
}

// finish names a shard that was done, and the work item by which it was given
// out: the message id, "" for one without.
type finish struct{ shard, item string }

// errRecord is for what no spool of this version writes.
var errRecord = errors.New("agent: spool: a record that cannot be read")

// append appends the record: the count as a varint, strings behind their length,
// then the data.
func (r record) append(b []byte) []byte {
	b = binary.AppendUvarint(b, r.results)
	for _, s := range []string{r.subject, r.id, r.finishes.shard, r.finishes.item} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return append(b, r.data...)
}

// decodeRecord reads what append wrote. The data is a part of b.
func decodeRecord(b []byte) (record, error) {
	var r record
	var n int
	if r.results, n = binary.Uvarint(b); n <= 0 || r.results > 1<<32 {
		return record{}, errRecord
	}
	b = b[n:]
	for _, s := range []*string{&r.subject, &r.id, &r.finishes.shard, &r.finishes.item} {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return record{}, errRecord
		}
		b = b[n:]
		*s, b = string(b[:length]), b[length:]
	}
	if len(b) == 0 || r.subject == "" || r.id == "" {
		return record{}, errRecord
	}
	r.data = b
	return r, nil
}
