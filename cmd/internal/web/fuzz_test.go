package web

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzLocal: the way back after the login never leads to another host.
func FuzzLocal(f *testing.F) {
	for _, s := range []string{"/", "//x", `/\x`, "/runs?x=//y", "https://x", "/\t/x", "/login"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := local(s)
		base := &url.URL{Scheme: "https", Host: "here.example", Path: "/login"}
		to, err := url.Parse(got)
		if err != nil {
			return // a browser is not led by what is no URL of ours; net/http escapes it
		}
		if at := base.ResolveReference(to); at.Host != base.Host || at.Scheme != base.Scheme || strings.ContainsAny(got, "\r\n\t\\") {
			t.Errorf("local(%q) = %q leads to %v", s, got, at)
		}
	})
}

// FuzzFilter: what a filter means survives the URL of the next page, and what is
// searched for is never more than the store takes.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"", "verdict=open_shell&port=1947/tcp&address=10.0.0.0/8", "text=%00%ff&severity=high", "address=::1&expected=no", "after=AAAA&run=s_1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		one := filterOf(values)
		q, err := one.parse()
		if err == nil && (len(q.Text) > maxText || len(q.Verdicts) > 1 || len(q.Ports) > 2 || q.Prefix.IsValid() && q.Prefix != q.Prefix.Masked()) {
			t.Errorf("%q means %+v", query, q)
		}
		again, perr := url.ParseQuery(strings.TrimPrefix(one.query(one.After), "?"))
		if perr != nil {
			t.Fatal(perr)
		}
		if two := filterOf(again); two != one {
			t.Errorf("%q: %+v became %+v", query, one, two)
		}
	})
}
