package schedule

import (
	"fmt"
	"strings"
)

// File is one file of an installed job.
type File struct {
	Name string // without the folder
	Text string
}

// marker begins the first line of every file that this package writes.
const marker = "# dormant schedule "

// Files returns what the job is installed as: a service and its timer, or a
// file for cron. The job must have been checked.
func (j *Job) Files() []File {
	if j.Cron != "" {
		return []File{{"dormant-" + j.Name, j.cronFile()}}
	}
	return []File{{"dormant-" + j.Name + ".service", j.service()}, {"dormant-" + j.Name + ".timer", j.timer()}}
}

// command is the scan, which is told how often it should come.
func (j *Job) command() []string {
	return append([]string{j.Program, "scan", "--due-every", j.Interval().String()}, j.Args...)
}

// due is the command that fails during a blackout, nil without one.
func (j *Job) due() []string {
	if len(j.Blackouts) == 0 {
		return nil
	}
	words := []string{j.Program, "schedule", "due"}
	for _, b := range j.Blackouts {
		words = append(words, "--blackout", b)
	}
	return words
}

func (j *Job) service() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s%s", marker, j.Name)
	line("[Unit]\nDescription=dormant, scheduled scan %s\nWants=network-online.target\nAfter=network-online.target\n", j.Name)
	line("[Service]\nType=oneshot")
	if words := j.due(); words != nil {
		line("ExecCondition=%s", systemdQuote(words))
	}
	line("ExecStart=%s", systemdQuote(j.command()))
	if j.User == "" {
		line("DynamicUser=yes")
	} else {
		line("User=%s", j.User)
	}
	b.WriteString(`# history, checkpoints, and reports with a relative name
StateDirectory=dormant
StateDirectoryMode=0700
WorkingDirectory=%S/dormant
Environment=XDG_STATE_HOME=%S
# raw sockets, nothing else
`)
	b.WriteString(Raw().Lines())
	return b.String()
}

func (j *Job) timer() string {
	e, _ := ParseEvery(j.Every) // checked
	when := "OnCalendar=" + e.Calendar + "\n# a run that was missed while the machine was off is made up for\nPersistent=yes"
	if e.Calendar == "" {
		when = fmt.Sprintf("OnBootSec=5min\nOnUnitActiveSec=%ds", int(e.Interval.Seconds()))
	}
	return fmt.Sprintf("%s%s\n[Unit]\nDescription=dormant, scheduled scan %s, %s\n\n[Timer]\n%s\nAccuracySec=1min\n\n[Install]\nWantedBy=timers.target\n",
		marker, j.Name, j.Name, j.Every, when)
}

func (j *Job) cronFile() string {
	user := j.User
	if user == "" {
		user = "root"
	}
	return fmt.Sprintf("%s%s\nSHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n%s %s %s\n",
		marker, j.Name, j.Cron, user, j.cronCommand())
}

// cronCommand is the end of the cron line.
func (j *Job) cronCommand() string {
	command := shellQuote(j.command())
	if words := j.due(); words != nil {
		command = shellQuote(words) + " && " + command
	}
	return strings.ReplaceAll(command, "%", `\%`) // cron reads % as a line end
}

// systemdQuote writes a command line as systemd.service(5) reads it.
func systemdQuote(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		w = strings.NewReplacer("%", "%%", "$", "$$").Replace(w)
		if w == "" || strings.ContainsAny(w, " \"'\\;#") {
			w = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(w) + `"`
		}
		out[i] = w
	}
	return strings.Join(out, " ")
}

// shellQuote writes a command line for sh.
func shellQuote(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		if w == "" || strings.ContainsFunc(w, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_./:,=@+", r)
		}) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		out[i] = w
	}
	return strings.Join(out, " ")
}

// NameOf returns the job's name if text is a file that this package wrote.
func NameOf(text string) (string, bool) {
	head, _, _ := strings.Cut(text, "\n")
	return strings.CutPrefix(head, marker)
}
