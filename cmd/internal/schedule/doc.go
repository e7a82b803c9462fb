// Package schedule lets a scan come back without a server: it writes a systemd
// timer with its service, or a line for cron, and knows when a run is due.
//
// # Design
//
// An interval becomes a systemd timer, because a timer catches up on a run that
// was missed while the machine was off. A cron expression becomes a cron line,
// as it was written: translating it into a calendar event would lose what cron
// means when both day fields are set.
//
// The service has no privilege but the one capability that raw sockets and XDP
// need, a user that exists only while it runs, one folder that it can write to,
// and the sandbox that all units of this program share. Nothing is read below
// /home; lists of targets belong into /etc/dormant.
//
// Blackouts are a condition of the unit and not a flag of scan: a run that is
// not due leaves no trace in the history.
package schedule
