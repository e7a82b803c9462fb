package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// outputFault is exit 5 for what could not be written, nil for nil.
func outputFault(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitOutput, err}
}

// faultOf is outputFault with the name of the command that could not write.
func faultOf(command string, err error) error {
	if err == nil {
		return nil
	}
	return outputFault(fmt.Errorf("%s: %w", command, err))
}

// writeTable prints rows without borders, and without blanks at line ends.
func writeTable(w io.Writer, header []string, rows [][]string) error {
	return render(w, newTable(header, rows))
}

func newTable(header []string, rows [][]string) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.AppendHeader(tableRow(header))
	for _, r := range rows {
		t.AppendRow(tableRow(r))
	}
	return t
}

func tableRow(cells []string) table.Row {
	var row table.Row
	for _, c := range cells {
		row = append(row, c)
	}
	return row
}

func render(w io.Writer, t table.Writer) error {
	for line := range strings.Lines(t.Render()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// writeCSV writes a listing, with the line ends of the other tools of a shell.
func writeCSV(w io.Writer, header []string, rows [][]string) error {
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	return out.WriteAll(rows)
}

func writeJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(v)
}
