package listen

import (
	"container/list"
	"net/netip"
	"slices"

	"dormant/registry"
)

// DefaultLimit is how many clients a Table remembers when nothing else is
// asked for: some 30 MB.
const DefaultLimit = 100_000

// Table gathers clients in bounded memory. When it is full it forgets: of those
// that never got an answer first, of equals the one not seen for longest. It
// serves one goroutine at a time.
type Table struct {
	limit     int
	all       map[key]*list.Element
	weak      *list.List // of *Client below Answered, the latest first
	strong    *list.List // the others
	forgotten uint64
}

type key struct {
	client, server netip.Addr
	port           registry.Port
}

// NewTable returns an empty table of at most limit clients, DefaultLimit for
// less than 1.
func NewTable(limit int) *Table {
	if limit < 1 {
		limit = DefaultLimit
	}
	return &Table{limit: limit, all: map[key]*list.Element{}, weak: list.New(), strong: list.New()}
}

// Add takes in what was seen of a client.
func (t *Table) Add(c Client) {
	k := key{c.Addr, c.Server, c.Port}
	at, ok := t.all[k]
	if !ok {
		t.all[k] = t.of(c.Use).PushFront(&c)
		t.shrink()
		return
	}
	known := at.Value.(*Client)
	from := t.of(known.Use)
	known.merge(c)
	if to := t.of(known.Use); to == from {
		from.MoveToFront(at)
	} else {
		from.Remove(at)
		t.all[k] = to.PushFront(known)
	}
}

func (t *Table) of(u Use) *list.List {
	if u < Answered {
		return t.weak
	}
	return t.strong
}

// shrink forgets one client if there is one too many.
func (t *Table) shrink() {
	if len(t.all) <= t.limit {
		return
	}
	from := t.weak
	if from.Len() == 0 {
		from = t.strong
	}
	c := from.Remove(from.Back()).(*Client)
	delete(t.all, key{c.Addr, c.Server, c.Port})
	t.forgotten++
}

// has reports whether the table holds the client, with at least that use.
func (t *Table) has(client, server netip.Addr, port registry.Port, least Use) bool {
	at, ok := t.all[key{client, server, port}]
	return ok && at.Value.(*Client).Use >= least
}

// Len is how many clients the table holds.
func (t *Table) Len() int { return len(t.all) }

// Forgotten is how many clients were dropped because the table was full. One
// that came back is counted each time.
func (t *Table) Forgotten() uint64 { return t.forgotten }

// Clients returns a copy of all, ordered by server, port and client.
func (t *Table) Clients() []Client {
	all := make([]Client, 0, len(t.all))
	for _, at := range t.all {
		all = append(all, *at.Value.(*Client))
	}
	slices.SortFunc(all, Client.Compare)
	return all
}
