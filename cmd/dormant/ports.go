package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"dormant/registry"
)

// newPorts prints what is known of ports: the dossiers, IANA's registrations.
func newPorts(a *app) *cobra.Command {
	var format, dir, list string
	cmd := &cobra.Command{
		Use:   "ports [PORT…]",
		Short: "what is known of a port: registration, lineage, what to expect, how to check",
		Long: `ports lists the dossiers. With a PORT (3588 or 3588/udp, several are fine) it shows
one dossier: registration, lineage, products, what one finds there instead, the
commands that tell what listens, and advice. A port without a dossier shows its
registration when IANA's list was imported.

The list is service-names-port-numbers.csv, as IANA publishes it at
https://www.iana.org/assignments/service-names-port-numbers/ in the form CSV.
This program never downloads it.`,
		Example: `  dormant ports
  dormant ports 3588
  dormant ports 1947/udp 5093 --format json
  dormant ports --import service-names-port-numbers.csv`,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := parsePorts(args)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("import") {
				if err := importIANA(a, list); err != nil || len(wanted) == 0 {
					return err
				}
			}
			reg, err := loadRegistry(dir)
			if err != nil {
				return err
			}
			return faultOf("ports", showPorts(a, reg, wanted, format))
		},
	}
	cmd.Flags().Var(oneOf(&format, "table", "json", "csv"), "format", "form of the output: table, json or csv")
	cmd.Flags().StringVar(&list, "import", "", "take IANA's list of registrations from the CSV `FILE` (- is stdin) and keep it for all later runs")
	addRegistryFlag(cmd, &dir)
	return cmd
}

// addRegistryFlag adds --registry, which every command that names ports has.
func addRegistryFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "registry", "", "folder `DIR` with *.yaml files of own dossiers; one replaces the built-in of the same port")
}

// loadRegistry is the built-in dossiers, under those of dir where it is not
// empty, and the imported list where there is one. Its errors are exit 2.
func loadRegistry(dir string) (*registry.Registry, error) {
	reg, err := registry.Default()
	if err != nil {
		return nil, err
	}
	if dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, usageError("--registry %q: want a folder with *.yaml files", dir)
		}
		own, err := registry.Load(os.DirFS(dir))
		if err != nil {
			return nil, usageError("--registry %q: %w", dir, err)
		}
		reg = reg.Overlay(own)
	}
	path, err := statePath("iana.csv")
	if err != nil {
		return reg, nil // no home, hence no import
	}
	list, err := registry.LoadIANA(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission): // or of another user, whose HOME this is
		return reg, nil
	case err != nil:
		return nil, usageError("%w; import it again or remove the file", err)
	}
	return reg.WithIANA(list), nil
}

// statePath is a file in the user's state folder, by the XDG base directory
// convention: $XDG_STATE_HOME/dormant/name, else ~/.local/state/dormant/name.
func statePath(name string) (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) { // the convention: a relative one is ignored
		home, err := homeFolder()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "dormant", name), nil
}

// homeFolder is $HOME, else what the system's user list says: services and cron
// often run without the variable.
func homeFolder() (string, error) {
	if home, err := os.UserHomeDir(); err == nil {
		return home, nil
	}
	me, err := user.Current()
	if err != nil || me.HomeDir == "" {
		return "", fmt.Errorf("no folder to keep state in: set XDG_STATE_HOME, user %d has no home", os.Getuid())
	}
	return me.HomeDir, nil
}

// importIANA checks a whole list before anything is stored.
func importIANA(a *app, file string) error {
	var list *registry.IANA
	var err error
	if file == "-" {
		list, err = registry.ParseIANA(a.stdin)
	} else {
		list, err = registry.LoadIANA(file)
	}
	if err != nil {
		return usageError("--import: %w", err)
	}
	path, err := statePath("iana.csv")
	if err == nil {
		err = list.Save(path)
	}
	if err != nil {
		return &exitError{exitOutput, fmt.Errorf("--import: %w", err)}
	}
	if !a.quiet {
		fmt.Fprintf(a.stderr, "imported %d registrations into %s\n", list.Len(), path)
	}
	return nil
}

// portArg is one PORT of the command line. A zero proto means both.
type portArg struct {
	number uint16
	proto  registry.Proto
}

func parsePorts(args []string) ([]portArg, error) {
	var wanted []portArg
	for _, arg := range args {
		var w portArg
		var err error
		if strings.Contains(arg, "/") {
			var p registry.Port
			p, err = registry.ParsePort(arg)
			w = portArg{p.Number, p.Proto}
		} else {
			w.number, err = registry.ParseNumber(arg)
		}
		if err != nil {
			return nil, usageError("port %q: want a number from 1 to 65535, alone or with /tcp or /udp", arg)
		}
		if !slices.Contains(wanted, w) {
			wanted = append(wanted, w)
		}
	}
	return wanted, nil
}

// portView is one number as machines get it: what its dossier says, where
// there is one, and its registrations.
type portView struct {
	Port    uint16 `json:"port"`
	Range   string `json:"range"`   // system, registered or dynamic
	Dossier bool   `json:"dossier"` // whether there is one
	// Imported tells whether IANA's list was at hand: without it, no
	// registrations only means that nothing is known.
	Imported bool `json:"iana_imported"`
	*registry.Entry
	Registrations []registry.Registration `json:"registrations"`
}

// view gathers what reg knows of a number, on the transport that was asked for.
func view(reg *registry.Registry, w portArg) portView {
	v := portView{Port: w.number, Range: registry.Range(w.number), Imported: reg.IANA().Len() > 0, Registrations: []registry.Registration{}}
	if e, ok := reg.Number(w.number); ok && (w.proto == 0 || e.Covers(registry.Port{Number: w.number, Proto: w.proto})) {
		if w.proto != 0 {
			e.Transports = slices.Clone(e.Transports)
			e.Transports = slices.DeleteFunc(e.Transports, func(t registry.Transport) bool { return t.Proto != w.proto })
		}
		v.Entry, v.Dossier = &e, true
	}
	for _, proto := range []registry.Proto{registry.TCP, registry.UDP} {
		if w.proto != 0 && w.proto != proto {
			continue
		}
		for _, row := range reg.Registrations(registry.Port{Number: w.number, Proto: proto}) {
			if !slices.Contains(v.Registrations, row) { // a row without a transport holds for both
				v.Registrations = append(v.Registrations, row)
			}
		}
	}
	return v
}

// showPorts prints the wanted ports, or all dossiers when none is named.
func showPorts(a *app, reg *registry.Registry, wanted []portArg, format string) error {
	listing := len(wanted) == 0
	if listing {
		for _, e := range reg.Entries() {
			wanted = append(wanted, portArg{number: e.Number})
		}
	}
	views := make([]portView, len(wanted))
	for i, w := range wanted {
		views[i] = view(reg, w)
	}
	switch {
	case format == "json":
		return writeJSON(a.stdout, views)
	case format == "csv":
		return portsCSV(a.stdout, views)
	case listing:
		return portsTable(a.stdout, views, width(a.stdout))
	}
	columns := 80
	if c := width(a.stdout); c > 0 {
		columns = min(max(c, 60), 100)
	}
	for i, v := range views {
		lead := ""
		if i > 0 {
			lead = "\n\n"
		}
		if err := writeDossier(a.stdout, lead, v, columns, colored(a.stdout)); err != nil {
			return err
		}
	}
	return nil
}

// portsTable writes one line a port, in columns characters where they are known:
// what it is goes on in the next line, and where that would be too narrow, the
// date of the registration is left out. 0 columns are as many as it takes.
func portsTable(w io.Writer, views []portView, columns int) error {
	const since, what, narrow = 4, 5, 20 // two columns, and the least for the second in characters
	header := []string{"PORT", "ON", "STATUS", "REGISTERED AS", "SINCE", "WHAT IT IS"}
	rows := [][]string{header}
	for _, v := range views {
		name, date := "", ""
		if len(v.Registrations) > 0 {
			name, date = v.Registrations[0].Service, v.Registrations[0].Registered
		}
		rows = append(rows, []string{strconv.Itoa(int(v.Port)), onWhat(v.Entry), string(v.Status), dash(name), dash(date), v.Title})
	}
	if columns > 0 {
		room := columns - 1
		for i := range what {
			room -= widest(rows, i) + 2 // two spaces between columns
		}
		if room < narrow {
			room += widest(rows, since) + 2
			for i := range rows {
				rows[i] = slices.Delete(rows[i], since, since+1)
			}
		}
		rows = wrapLast(rows, max(room, narrow))
	}
	t := newTable(rows[0], rows[1:])
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 1, Align: text.AlignRight}})
	if err := render(w, t); err != nil {
		return err
	}
	if isTerminal(w) {
		_, err := fmt.Fprintf(w, "\nOne of them in full: dormant ports %d\n", views[0].Port)
		return err
	}
	return nil
}

// widest is how many characters column i needs.
func widest(rows [][]string, i int) int {
	most := 0
	for _, row := range rows {
		most = max(most, text.StringWidth(row[i]))
	}
	return most
}

// wrapLast breaks the last cell of each row into lines of at most room characters.
func wrapLast(rows [][]string, room int) [][]string {
	for _, row := range rows {
		last := &row[len(row)-1]
		*last = text.WrapSoft(*last, room)
	}
	return rows
}

// onWhat names the transports of a dossier.
func onWhat(e *registry.Entry) string {
	var names []string
	for _, t := range e.Transports {
		names = append(names, t.Proto.String())
	}
	return strings.Join(names, " ")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// portsCSV writes one record a registration, and one for a port without any.
func portsCSV(w io.Writer, views []portView) error {
	header := []string{"port", "transport", "range", "status", "service", "description", "assignee", "contact",
		"registered", "modified", "reference", "unauthorized_use", "notes", "title", "label", "summary"}
	var records [][]string
	for _, v := range views {
		var e registry.Entry
		if v.Entry != nil {
			e = *v.Entry
		}
		rows := v.Registrations
		if len(rows) == 0 {
			rows = make([]registry.Registration, 1)
		}
		for _, r := range rows {
			proto := ""
			if r.Proto != 0 {
				proto = r.Proto.String()
			}
			record := []string{strconv.Itoa(int(v.Port)), proto, v.Range, string(e.Status), r.Service, r.Description, r.Assignee,
				r.Contact, r.Registered, r.Modified, r.Reference, r.Unauthorized, r.Notes, e.Title, e.Label, e.Summary}
			for i := range record {
				record[i] = inert(record[i])
			}
			records = append(records, record)
		}
	}
	return writeCSV(w, header, records)
}

// inert keeps a spreadsheet from reading a foreign text as a formula.
func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
