package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"dormant/cmd/internal/disk"
)

// Schema is the version of run.json and position.json. Those of version 1 have
// no checksum, and are read all the same.
const Schema = 2

// The last lines of a file: the CRC-32C, in eight hex digits, of everything
// before them.
const (
	sumBefore = ",\n  \"crc32c\": \""
	sumAfter  = "\"\n}\n"
	sumLen    = len(sumBefore) + 8 + len(sumAfter)
)

// errDamaged is why a file is not believed.
var errDamaged = errors.New("it is damaged or was edited; this scan cannot be resumed: start it anew")

// seal puts the checksum into an indented JSON object that has fields.
func seal(object []byte) []byte {
	body := bytes.TrimSuffix(object, []byte("\n}"))
	return fmt.Appendf(body, "%s%08x%s", sumBefore, checksum(body), sumAfter)
}

// sealed reports whether b is what seal made.
func sealed(b []byte) bool {
	body := b[:max(0, len(b)-sumLen)]
	return bytes.Equal(b[len(body):], fmt.Appendf(nil, "%s%08x%s", sumBefore, checksum(body), sumAfter))
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// readJSON reads what writeJSON wrote, or a file of version 1.
func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err == nil {
		err = decode(b, v)
	}
	if err != nil {
		return fmt.Errorf("checkpoint: read %s: %w", path, err)
	}
	return nil
}

func decode(b []byte, v any) error {
	var is struct {
		Schema int     `json:"schema"`
		Sum    *string `json:"crc32c"`
	}
	err := json.Unmarshal(b, &is)
	old := err == nil && is.Schema == 1 && is.Sum == nil
	switch {
	case !old && !sealed(b):
		return errDamaged
	case !old && is.Schema != Schema:
		return fmt.Errorf("it has schema %d, want %d: it was made by another version", is.Schema, Schema)
	}
	return json.Unmarshal(b, v)
}

// writeJSON replaces path as a whole, or leaves it as it was. v is a struct with
// a field "schema", which is Schema.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = disk.Replace(path, seal(b))
	}
	if err != nil {
		return fmt.Errorf("checkpoint: write %s: %w", path, err)
	}
	return nil
}
