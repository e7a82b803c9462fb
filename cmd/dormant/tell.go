package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/spf13/pflag"

	"dormant/reports"
)

// tellOptions are the flags about who hears of a scan.
type tellOptions struct {
	url    string
	events []string
}

func (o *tellOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.url, "notify", "", "when something changed, broke the policy or is exposed to outsiders, send a message to `URL`: https://… (webhook), slack://, teams://, smtp://, … (in shoutrrr's form; DORMANT_NOTIFY keeps it out of the process list)")
	flags.StringArrayVar(&o.events, "event-log", nil, "log start and end of the scan: syslog, or a `FILE` that ECS JSON lines are appended to (repeatable)")
}

// teller tells people and the SOC of a scan.
type teller struct {
	logs   []eventLog
	notify func(ctx context.Context, m message) error // nil: nobody
	begun  bool
}

// message is what a notification says.
type message struct {
	Text    string   `json:"text"` // everything, for people; the key that chat webhooks read
	ScanID  string   `json:"scan_id"`
	Summary string   `json:"summary"`
	Lines   []string `json:"findings"`
}

// notifyTimeout bounds one notification.
const notifyTimeout = 20 * time.Second

// newTeller reads the flags. It returns usage errors, opens and sends nothing.
func newTeller(o *tellOptions) (*teller, error) {
	t := &teller{}
	for _, where := range o.events {
		t.logs = append(t.logs, newEventLog(where))
	}
	if o.url == "" {
		return t, nil
	}
	u, err := url.Parse(o.url)
	if err != nil || u.Scheme == "" {
		return nil, usageError("--notify: want a URL such as https://hooks.example.com/x or slack://token@channel")
	}
	if u.Scheme == "http" || u.Scheme == "https" {
		if u.Host == "" {
			return nil, usageError("--notify: a %s URL without a host", u.Scheme)
		}
		t.notify = func(ctx context.Context, m message) error { return postMessage(ctx, o.url, m) }
		return t, nil
	}
	sender, err := shoutrrr.CreateSender(o.url)
	if err != nil {
		return nil, usageError("--notify: %s", hide(err, o.url))
	}
	t.notify = func(_ context.Context, m message) error {
		for _, err := range sender.Send(m.Text, nil) {
			if err != nil {
				return errors.New(hide(err, o.url))
			}
		}
		return nil
	}
	return t, nil
}

// hide takes a URL, which holds secrets, and its parts out of an error.
func hide(err error, secret string) string {
	text := err.Error()
	parts := []string{secret}
	if u, perr := url.Parse(secret); perr == nil {
		password, _ := u.User.Password()
		parts = append(parts, u.String(), u.RequestURI(), u.Opaque, u.User.String(), password, strings.Trim(u.Path, "/"), u.RawQuery)
	}
	for _, p := range parts {
		if len(p) > 3 {
			text = strings.ReplaceAll(text, p, "…")
		}
	}
	return text
}

// postMessage sends m as JSON.
func postMessage(ctx context.Context, to string, m message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return errors.New(hide(err, to))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", userAgent())
	client := http.Client{CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if next.Method != http.MethodPost || len(via) > 3 { // a page without the message, as that of a login, is no answer
			return http.ErrUseLastResponse
		}
		return nil
	}}
	res, err := client.Do(req)
	if err != nil {
		return errors.New(hide(err, to))
	}
	defer res.Body.Close() //nolint:errcheck // only the status is of use
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the webhook answered %s", res.Status)
	}
	return nil
}

// open finds out in time whether the logs can be written. It returns usage errors.
func (t *teller) open() error {
	for _, l := range t.logs {
		if file, is := l.(eventFile); is {
			f, err := file.open()
			if err == nil {
				err = f.Close()
			}
			if err != nil {
				return usageError("--event-log: %w", err)
			}
		}
	}
	return nil
}

// begin logs that the scan begins.
func (t *teller) begin(r reports.Run) error {
	for _, l := range t.logs {
		if err := l.log(newEvent("start", r, time.Now(), "scan begins", "")); err != nil {
			return fmt.Errorf("event log: %w", err)
		}
	}
	t.begun = true
	return nil
}

// end logs that the scan has ended, and notifies if there is something to hear.
// It goes on when the scan was interrupted.
func (t *teller) end(ctx context.Context, r reports.Run, o *outcome, whole bool) error {
	if !t.begun {
		return nil
	}
	var errs []error
	words, result := "scan ended: "+r.Coverage(), "success"
	if s := o.summary(); s != "" {
		words += " " + s + "."
	} else if o.missed != "" {
		words += " " + o.missed + "."
	}
	if !whole {
		result = "failure"
	}
	for _, l := range t.logs {
		if err := l.log(newEvent("end", r, time.Now(), words, result)); err != nil {
			errs = append(errs, fmt.Errorf("event log: %w", err))
		}
	}
	if t.notify != nil && o.summary() != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notifyTimeout)
		defer cancel()
		if err := t.notify(ctx, newMessage(r, o)); err != nil {
			errs = append(errs, fmt.Errorf("notify: %w", err))
		}
	}
	return errors.Join(errs...)
}

// newMessage is short: what changed, the first findings, where to look.
func newMessage(r reports.Run, o *outcome) message {
	m := message{ScanID: r.ScanID, Summary: o.summary(), Lines: append(append([]string{}, o.worst...), o.lines...)}
	where := strings.Join(r.Targets, " ")
	if len(where) > 80 {
		where = where[:77] + "..."
	}
	m.Text = fmt.Sprintf("dormant: %s in %s from %s\n%s\n", m.Summary, where, r.From(), strings.Join(m.Lines, "\n"))
	if rest := o.breaches + o.exposed - o.both + o.changed() - len(m.Lines); rest > 0 {
		m.Text += fmt.Sprintf("and %d more\n", rest)
	}
	m.Text += "dormant runs diff " + r.ScanID
	if r.Ticket != "" {
		m.Text += "  ticket " + r.Ticket
	}
	return m
}

// eventLog takes the start and the end of a scan.
type eventLog interface{ log(e event) error }

// newEventLog reads syslog, syslog:SOCKET, or the name of a file.
func newEventLog(where string) eventLog {
	if where == "syslog" {
		return syslog("/dev/log")
	}
	if socket, ok := strings.CutPrefix(where, "syslog:"); ok && socket != "" {
		return syslog(socket)
	}
	return eventFile(where)
}
