package reports

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"dormant/scanner/listen"
)

// ClientColumns returns the columns of a clients file, in order. listen.ReadFlows
// reads it.
func ClientColumns() []string {
	return []string{"client", "client_name", "server", "transport", "port", "use", "told_by",
		"count", "first_seen", "last_seen", "created", "source"}
}

// WriteClientsCSV writes clients as RFC 4180, by the rules of the findings' CSV.
func WriteClientsCSV(w io.Writer, clients []listen.Client) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	err := c.Write(ClientColumns())
	for _, x := range clients {
		err = errors.Join(err, c.Write([]string{
			address(x.Addr), cell(x.Name, maxText), address(x.Server), x.Port.Proto.String(), strconv.Itoa(int(x.Port.Number)),
			x.Use.String(), x.Told.String(), strconv.FormatUint(x.Count, 10),
			moment(x.First), moment(x.Last), moment(x.Created), cell(x.Source, maxText),
		}))
	}
	c.Flush()
	if err = errors.Join(err, c.Error()); err != nil {
		return fmt.Errorf("reports: write clients: %w", err)
	}
	return nil
}

// clientJSON is a client as JSON holds it, with the keys of ClientColumns.
type clientJSON struct {
	Client  string  `json:"client"`
	Name    string  `json:"client_name"`
	Server  string  `json:"server"`
	Proto   string  `json:"transport"`
	Port    uint16  `json:"port"`
	Use     string  `json:"use"`
	Told    string  `json:"told_by"`
	Count   uint64  `json:"count"`
	First   *string `json:"first_seen"`
	Last    *string `json:"last_seen"`
	Created *string `json:"created"`
	Source  string  `json:"source"`
}

// WriteClientsJSON writes an array of the objects of WriteClientsJSONL.
func WriteClientsJSON(w io.Writer, clients []listen.Client) error {
	var b bytes.Buffer
	err := WriteClientsJSONL(&b, clients)
	if err == nil {
		lines := bytes.ReplaceAll(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\n"), []byte(",\n"))
		_, err = fmt.Fprintf(w, "[%s]\n", lines)
	}
	if err != nil {
		return fmt.Errorf("reports: write clients: %w", err)
	}
	return nil
}

// WriteClientsJSONL writes one JSON object a line, in ASCII.
func WriteClientsJSONL(w io.Writer, clients []listen.Client) error {
	at := func(t time.Time) *string {
		if t.IsZero() {
			return nil
		}
		s := moment(t)
		return &s
	}
	for _, x := range clients {
		b, err := json.Marshal(clientJSON{
			Client: address(x.Addr), Name: escape(x.Name, maxText), Server: address(x.Server), Proto: x.Port.Proto.String(), Port: x.Port.Number,
			Use: x.Use.String(), Told: x.Told.String(), Count: x.Count, First: at(x.First), Last: at(x.Last), Created: at(x.Created),
			Source: escape(x.Source, maxText),
		})
		if err == nil {
			_, err = w.Write(append(b, '\n'))
		}
		if err != nil {
			return fmt.Errorf("reports: write clients: %w", err)
		}
	}
	return nil
}

// WriteClientsTable prints clients for a terminal, at most a thousand of them:
// under each server and port who uses it. width is the terminal's, 0 or less
// for no bound.
func WriteClientsTable(w io.Writer, clients []listen.Client, width int) error {
	var b strings.Builder
	if len(clients) == 0 {
		b.WriteString("no client of these ports\n")
	} else {
		t := table.NewWriter()
		t.SetStyle(style())
		if width > 0 {
			t.Style().Size.WidthMax = max(width, minWidth)
		}
		t.AppendHeader(table.Row{"SERVER", "PORT", "CLIENT", "NAME", "USE", "TOLD BY", "COUNT", "LAST SEEN"})
		for _, x := range clients[:min(len(clients), maxOpenRows)] {
			t.AppendRow(table.Row{address(x.Server), x.Port.String(), address(x.Addr), escape(x.Name, maxText),
				x.Use.String(), x.Told.String(), x.Count, moment(x.Last)})
		}
		b.WriteString(t.Render() + "\n")
		if more := len(clients) - maxOpenRows; more > 0 {
			fmt.Fprintf(&b, "and %d more: write them to a file\n", more)
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("reports: write clients: %w", err)
	}
	return nil
}

// ClientsFormat returns the writer for a file name, by its extension.
func ClientsFormat(path string) (func(io.Writer, []listen.Client) error, error) {
	switch lower := strings.ToLower(path); {
	case strings.HasSuffix(lower, ".csv"):
		return WriteClientsCSV, nil
	case strings.HasSuffix(lower, ".jsonl"), strings.HasSuffix(lower, ".ndjson"):
		return WriteClientsJSONL, nil
	default:
		return nil, fmt.Errorf("reports: output %s: clients are written as .csv or .jsonl", path)
	}
}
