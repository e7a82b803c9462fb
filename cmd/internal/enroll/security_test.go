package enroll

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/fleet"
)

// stolen is a server with work and results of two sites, and the connection of
// one who has copied the credential folder of an agent at hq.
type stolen struct {
	*site
	thief *nats.Conn
	// objections counts what the broker told the thief that it may not.
	objections *atomic.Int64
	before     string
}

func steal(t *testing.T) *stolen {
	t.Helper()
	ctx, s := bounded(t), start(t, hq, branch)
	victim := s.enrolled(t, "alpha", hq)
	copied := filepath.Join(t.TempDir(), "copied")
	if err := os.CopyFS(copied, os.DirFS(victim.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(copied, credentialFile), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(copied)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []fleet.Place{hq, branch} {
		for i := range 3 {
			if _, err := s.js.Publish(ctx, p.WorkSubject(), fmt.Appendf(nil, "shard %d of %s", i, p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, subject := range []string{hq.ResultSubject("beta", "run-1"), branch.ResultSubject("gamma", "run-2")} {
		if _, err := s.js.Publish(ctx, subject, []byte("secret of "+subject), jetstream.WithMsgID(subject)); err != nil {
			t.Fatal(err)
		}
	}
	x := &stolen{site: s, objections: &atomic.Int64{}}
	o := c.Options()
	o.Log = logTo(t)
	if x.thief, err = broker.Dial(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.thief.Close)
	x.thief.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			x.objections.Add(1)
		}
	})
	x.before = x.stock(t)
	return x
}

// stock is everything in the streams that the thief must not change: names,
// subjects with their counts, consumers with what they have given out.
func (x *stolen) stock(t *testing.T) string {
	t.Helper()
	ctx := bounded(t)
	var b strings.Builder
	for s := range x.js.ListStreams(ctx).Info() {
		fmt.Fprintf(&b, "%s %v\n", s.Config.Name, s.Config.Subjects)
		stream, err := x.js.Stream(ctx, s.Config.Name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		for _, subject := range []string{branch.WorkSubject(), branch.ResultSubject("gamma", "run-2"), hq.ResultSubject("beta", "run-1")} {
			fmt.Fprintf(&b, "  %s %d\n", subject, info.State.Subjects[subject])
		}
		for c := range stream.ListConsumers(ctx).Info() {
			if c.Name != hq.Consumer() { // its own work is the thief's to take
				fmt.Fprintf(&b, "  %s pending %d given out %d floor %d\n", c.Name, c.NumPending, c.NumAckPending, c.AckFloor.Stream)
			}
		}
	}
	return b.String()
}

// unchanged fails the test if the thief has changed anything.
func (x *stolen) unchanged(t *testing.T, what string) {
	t.Helper()
	if err := x.thief.FlushTimeout(10 * time.Second); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	time.Sleep(200 * time.Millisecond) // to prove an absence: the broker's own requests run behind
	if got := x.stock(t); got != x.before {
		t.Fatalf("%s changes what is stored:\n%s\nwant\n%s", what, got, x.before)
	}
}

// TestStolenCredentialPublishes: no subject but the agent's own is open to it.
func TestStolenCredentialPublishes(t *testing.T) {
	x := steal(t)
	answers, err := x.thief.SubscribeSync(fleet.Inbox("alpha") + ".answer")
	if err != nil {
		t.Fatal(err)
	}
	other := "DORMANT_OTHER"
	for _, subject := range []string{
		branch.ResultSubject("alpha", "run-2"), branch.ResultSubject("gamma", "run-2"), hq.ResultSubject("beta", "run-1"),
		branch.WorkSubject(), hq.WorkSubject(), branch.BeatSubject("alpha"), hq.BeatSubject("beta"), hq.HelloSubject("beta"),
		fleet.RenewSubject("beta"), fleet.EnrollSubject,
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST",
		"$JS.API.STREAM.CREATE." + other, "$JS.API.STREAM.UPDATE." + fleet.ResultStream, "$JS.API.STREAM.DELETE." + fleet.ResultStream,
		"$JS.API.STREAM.PURGE." + fleet.ResultStream, "$JS.API.STREAM.INFO." + fleet.ResultStream, "$JS.API.STREAM.SNAPSHOT." + fleet.ResultStream,
		"$JS.API.STREAM.MSG.GET." + fleet.ResultStream, "$JS.API.STREAM.MSG.DELETE." + fleet.ResultStream, "$JS.API.DIRECT.GET." + fleet.ResultStream,
		"$JS.API.CONSUMER.CREATE." + fleet.ResultStream, "$JS.API.CONSUMER.CREATE." + fleet.ResultStream + ".spy.>",
		"$JS.API.CONSUMER.DURABLE.CREATE." + fleet.WorkStream + ".spy", "$JS.API.CONSUMER.LIST." + fleet.WorkStream,
		"$JS.API.CONSUMER.DELETE." + fleet.WorkStream + "." + hq.Consumer(), "$JS.API.CONSUMER.PAUSE." + fleet.WorkStream + "." + branch.Consumer(),
		"$JS.API.CONSUMER.INFO." + fleet.WorkStream + "." + branch.Consumer(), "$JS.API.CONSUMER.MSG.NEXT." + fleet.WorkStream + "." + branch.Consumer(),
		"$JS.ACK." + fleet.WorkStream + "." + branch.Consumer() + ".1.4.1.1.0", "$JS.API.ACCOUNT.PURGE.agent", "$SYS.REQ.SERVER.PING",
		"$KV." + fleet.StateBucket + ".run", fleet.Inbox("beta") + ".x", "_INBOX.x", "_R_.x", "anything",
	} {
		had := x.objections.Load()
		if err := x.thief.PublishRequest(subject, fleet.Inbox("alpha")+".answer", []byte("{}")); err != nil {
			t.Fatal(err)
		}
		x.objected(t, subject, had)
	}
	x.unchanged(t, "publishing")
	if m, err := answers.NextMsg(time.Millisecond); err == nil {
		t.Errorf("an answer: %q", m.Data)
	}
}

// objected waits until the broker has told the thief off once more.
func (x *stolen) objected(t *testing.T, subject string, had int64) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); x.objections.Load() == had; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Errorf("%s: the broker does not object", subject)
			return
		}
	}
}

// TestStolenCredentialListens: it hears what is sent to its own inbox.
func TestStolenCredentialListens(t *testing.T) {
	x := steal(t)
	var heard atomic.Int64
	for _, subject := range []string{
		">", "*", "_INBOX.>", fleet.Inbox("beta") + ".>", fleet.Inbox("*") + ".>", "_INBOX_enroll_00.>", "dormant.>", "dormant.result.>",
		branch.WorkSubject(), hq.WorkSubject(), hq.ResultSubject("alpha", "*"), "$JS.>", "$JS.EVENT.>", "$SYS.>", "$KV.>", "_R_.>",
	} {
		had := x.objections.Load()
		sub, err := x.thief.Subscribe(subject, func(*nats.Msg) { heard.Add(1) })
		if err != nil {
			continue // refused by the client already
		}
		x.objected(t, subject, had)
		_ = sub.Unsubscribe() // it is gone
	}
	for _, subject := range []string{fleet.Inbox("beta") + ".1", "_INBOX.1", hq.BeatSubject("beta"), branch.ResultSubject("gamma", "run-2")} {
		if err := x.own.Publish(subject, []byte("secret")); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.own.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := x.thief.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := heard.Load(); n != 0 {
		t.Errorf("%d messages were heard", n)
	}
}

// TestReplyTrick: the answer to a request is published by the broker itself, or
// by the server, and goes to the subject that the request names. Of an agent it
// must not come out in the server's account.
func TestReplyTrick(t *testing.T) {
	x := steal(t)
	next := "$JS.API.CONSUMER.MSG.NEXT." + fleet.WorkStream + "." + hq.Consumer()
	answered := make(chan string, 64)
	hello, err := x.own.Subscribe(hq.HelloSubject("*"), func(m *nats.Msg) {
		answered <- m.Reply
		_ = m.Respond(nil) // as a server answers: with all permissions
	})
	if err != nil {
		t.Fatal(err)
	}
	defer hello.Unsubscribe() //nolint:errcheck // the test is over
	if err := x.own.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, ask := range []struct{ subject, body string }{
		{next, `{"batch":1,"expires":100000000}`},
		{next, `{"batch":9,"no_wait":true}`}, // ends with an answer that is empty
		{"$JS.API.CONSUMER.INFO." + fleet.WorkStream + "." + hq.Consumer(), ""},
		{hq.ResultSubject("alpha", "run-1"), "found"},
		{hq.HelloSubject("alpha"), ""},
		{fleet.RenewSubject("alpha"), "{}"},
	} {
		for _, reply := range []string{
			branch.ResultSubject("gamma", "run-2"), hq.ResultSubject("beta", "run-1"), branch.WorkSubject(),
			"$JS.API.STREAM.DELETE." + fleet.ResultStream, "$JS.API.STREAM.PURGE." + fleet.ResultStream,
			"$JS.API.CONSUMER.DELETE." + fleet.WorkStream + "." + branch.Consumer(),
			"$JS.API.CONSUMER.MSG.NEXT." + fleet.WorkStream + "." + branch.Consumer(),
			"$JS.ACK." + fleet.WorkStream + "." + branch.Consumer() + ".1.4.1.1.0",
			"$KV." + fleet.StateBucket + ".run", "_R_.AAAAAA.BBBBBB", fleet.RenewSubject("beta"),
		} {
			if err := x.thief.PublishRequest(ask.subject, reply, []byte(ask.body)); err != nil {
				t.Fatal(err)
			}
		}
		x.unchanged(t, ask.subject)
	}
	close(answered)
	for reply := range answered {
		if !strings.HasPrefix(reply, "_R_.") {
			t.Errorf("the server is asked to answer to %s", reply)
		}
	}
}
