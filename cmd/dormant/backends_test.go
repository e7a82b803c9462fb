package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
)

func TestChooseBackend(t *testing.T) {
	kinds := func(raw error) []backendKind {
		return []backendKind{
			{name: "raw", ready: func() error { return raw }},
			{name: "connect", ready: func() error { return nil }},
		}
	}
	forbidden := errors.New("no permission")
	for _, tt := range []struct {
		name, flag string
		raw        error
		prefixes   []string
		want, note string
		code       int
	}{
		{"the best", "auto", nil, []string{"10.0.0.0/24"}, "raw", "", 0},
		{"no permission", "auto", forbidden, []string{"10.0.0.0/24"}, "connect", "no permission", 0},
		{"only loopback", "auto", nil, []string{"127.77.0.0/24", "::1/128"}, "connect", "all targets are on loopback", 0},
		{"loopback and more", "auto", nil, []string{"127.0.0.0/8", "10.0.0.0/8"}, "raw", "", 0},
		{"a prefix that begins in loopback", "auto", nil, []string{"126.0.0.0/7"}, "raw", "", 0},
		{"no targets known", "auto", nil, nil, "raw", "", 0},
		{"named", "raw", nil, []string{"127.0.0.1/32"}, "raw", "", 0},
		{"named and forbidden", "raw", forbidden, []string{"10.0.0.0/24"}, "", "", exitPrivilege},
		{"named below the best", "connect", nil, []string{"10.0.0.0/24"}, "connect", "", 0},
		{"unknown", "afxdp", nil, []string{"10.0.0.0/24"}, "", "", exitUsage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var prefixes []netip.Prefix
			for _, p := range tt.prefixes {
				prefixes = append(prefixes, netip.MustParsePrefix(p))
			}
			k, note, err := chooseBackend(kinds(tt.raw), tt.flag, prefixes)
			code := 0
			if e, ok := errors.AsType[*exitError](err); ok {
				code = e.code
			}
			if k.name != tt.want || note != tt.note || code != tt.code || (err != nil) != (tt.code != 0) {
				t.Errorf("chooseBackend = %q, %q, %v; want %q, %q, exit %d", k.name, note, err, tt.want, tt.note, tt.code)
			}
		})
	}
}

func TestSayBackend(t *testing.T) {
	const none = "no right to raw sockets (CAP_NET_RAW)"
	for _, tt := range []struct {
		what, name, note string
		loopback         bool
		want             string // at info
	}{
		{"the best", "afxdp", "", false, ""},
		{"no right", "connect", none, false, none + ": sweeping by ordinary connections"},
		{"loopback", "connect", "all targets are on loopback", true, ""},
		{"loopback and no right", "connect", none, true, ""},
		{"no AF_XDP", "afpacket", "afxdp: this kernel has no AF_XDP", false, ""},
	} {
		var out bytes.Buffer
		plain := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.MessageKey {
				return a
			}
			return slog.Attr{}
		}}
		sayBackend(slog.New(slog.NewTextHandler(&out, plain)), tt.name, tt.note, tt.loopback)
		want := ""
		if tt.want != "" {
			want = "msg=\"" + tt.want + "\"\n"
		}
		if out.String() != want {
			t.Errorf("%s: %q, want %q", tt.what, out.String(), want)
		}
	}
}
