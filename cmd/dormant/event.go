package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"dormant/reports"
)

// event is the start or the end of a scan, for those who must tell it from an
// attack. Its JSON is ECS (https://www.elastic.co/docs/reference/ecs).
type event struct {
	Time    time.Time `json:"@timestamp"`
	Message string    `json:"message"`
	ECS     struct {
		Version string `json:"version"`
	} `json:"ecs"`
	Event struct {
		ID       string   `json:"id"`
		Kind     string   `json:"kind"`
		Category []string `json:"category"`
		Type     []string `json:"type"`
		Action   string   `json:"action"`
		Outcome  string   `json:"outcome,omitempty"`
		Module   string   `json:"module"`
	} `json:"event"`
	Observer struct {
		Product  string `json:"product"`
		Version  string `json:"version"`
		Hostname string `json:"hostname,omitempty"`
	} `json:"observer"`
	User struct {
		Name string `json:"name,omitempty"`
	} `json:"user"`
	Dormant struct {
		Targets []string `json:"targets"`
		Ports   []string `json:"ports"`
		Site    string   `json:"site,omitempty"`
		Vantage string   `json:"vantage,omitempty"`
		Ticket  string   `json:"ticket,omitempty"`
		Source  string   `json:"interface,omitempty"`
		Probes  uint64   `json:"probes,omitempty"`
		Open    uint64   `json:"open,omitempty"`
	} `json:"dormant"`
}

// newEvent is the event of the moment; kind is start or end.
func newEvent(kind string, r reports.Run, now time.Time, words, outcome string) event {
	var e event
	e.Time, e.Message = now.UTC(), words
	e.ECS.Version = "8.17.0"
	e.Event.ID, e.Event.Kind, e.Event.Category, e.Event.Type = r.ScanID, "event", []string{"network"}, []string{kind}
	e.Event.Action, e.Event.Outcome, e.Event.Module = "dormant-scan-"+kind, outcome, "dormant"
	e.Observer.Product, e.Observer.Version = "dormant", r.Version
	e.Observer.Hostname, _ = os.Hostname() // a host without a name has none
	if u, err := user.Current(); err == nil {
		e.User.Name = u.Username
	}
	d := &e.Dormant
	d.Targets, d.Ports, d.Site, d.Vantage, d.Ticket = r.Targets, r.Ports, r.Site, r.Vantage, r.Ticket
	d.Source, d.Probes, d.Open = r.Interface, r.Scan.Probes, r.Scan.Open
	return e
}

// line is the event for syslog: words, then what a search looks for.
func (e *event) line() string {
	d := &e.Dormant
	return fmt.Sprintf("%s action=%s id=%s user=%s targets=%q ports=%q site=%q vantage=%q ticket=%q",
		strings.Map(printable, e.Message), e.Event.Action, e.Event.ID, e.User.Name, strings.Join(d.Targets, " "), strings.Join(d.Ports, ","), d.Site, d.Vantage, d.Ticket)
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

// eventFile is a file that lines of JSON are appended to.
type eventFile string

func (f eventFile) open() (*os.File, error) {
	return os.OpenFile(string(f), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
}

func (f eventFile) log(e event) error {
	text, err := json.Marshal(&e)
	if err != nil {
		return err
	}
	out, err := f.open()
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n')) // one write: lines of two scans do not mix
	return errors.Join(err, out.Close())
}

// syslog is the socket of this host's log daemon.
type syslog string

// log sends a line in the form that syslog(3) sends to the local socket, as
// facility daemon and severity notice. Longer ones than a daemon takes are cut.
func (s syslog) log(e event) error {
	const priority, longest = 3<<3 | 5, 2000
	text := e.line()
	text = fmt.Sprintf("<%d>%s %s[%d]: %s", priority, e.Time.Local().Format(time.Stamp), filepath.Base(os.Args[0]), os.Getpid(), text[:min(len(text), longest)])
	for _, network := range []string{"unixgram", "unix"} {
		conn, err := net.DialTimeout(network, string(s), 5*time.Second)
		if err != nil {
			continue
		}
		_, err = conn.Write([]byte(text + "\n"))
		return errors.Join(err, conn.Close())
	}
	return fmt.Errorf("no log daemon listens on %s: name a file instead", string(s))
}
