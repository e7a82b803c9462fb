package firewall

import (
	"slices"
	"strconv"
)

// nftTable is a table; only one with flags tells anything.
type nftTable struct {
	Family string `json:"family"`
	Name   string `json:"name"`
	Flags  any    `json:"flags"`

	line int
}

// dormant reports whether the kernel passes the table of a chain by. nft 1.0.6
// prints what happens to be in its memory for the flags of a table: with a flag
// that is not known, packets may pass the chain by.
func (n *nft) dormant(c *nftChain) bool {
	t := n.tables[nftKey(c.Family, c.Table, "")]
	if t == nil || t.Flags == nil {
		return false
	}
	flags, isList := t.Flags.([]any)
	if !isList {
		flags = []any{t.Flags}
	}
	for _, flag := range flags {
		switch flag {
		case "dormant":
			if note := (Note{t.line, "table " + shown(t.Family+" "+t.Name) + " is dormant: no packet passes it"}); !slices.Contains(n.set.Notes, note) {
				n.set.Notes = append(n.set.Notes, note)
			}
			return true
		case "owner", "persist":
		default:
			c.chain.Doubts = []string{"whether table " + shown(t.Family+" "+t.Name) + " is dormant is not legible in line " + strconv.Itoa(t.line) + ", as some versions of nft print it"}
		}
	}
	return false
}
