package fingerprint

import (
	"cmp"
	"strings"
)

// maxValue is the longest extracted value and maxExcerpt the longest excerpt,
// in bytes.
const (
	maxValue   = 80
	maxExcerpt = 200
)

// excerpt makes a line for reports of text in Latin-1: printable ASCII, every
// other byte as \xNN, cut at maxExcerpt. What a peer sent never reaches a
// terminal, a page or a cell in another form.
func excerpt(text string) string { return bounded(escape(text)) }

// bounded cuts escaped text at maxExcerpt.
func bounded(quoted string) string {
	if len(quoted) <= maxExcerpt {
		return quoted
	}
	return cutEscaped(quoted, maxExcerpt-3) + "..."
}

// escape is Escape for text in Latin-1, as far as anybody shows of it.
func escape(text string) string {
	var out strings.Builder
	for _, r := range text {
		out.WriteString(escapeByte(byte(r)))
		if out.Len() > 4*maxExcerpt {
			break // nobody shows more
		}
	}
	return out.String()
}

// cutEscaped cuts escaped text at n bytes or a little before, never inside an
// escape.
func cutEscaped(s string, n int) string {
	if len(s) <= n {
		return s
	}
	end := 0
	for end < n {
		step := 1
		if s[end] == '\\' {
			step = 2
			if end+1 < len(s) && s[end+1] == 'x' {
				step = 4
			}
		}
		if end+step > n {
			break
		}
		end += step
	}
	return s[:end]
}

// value makes an extracted value safe and sane: printable ASCII, one line,
// at most maxValue bytes; "" when it carries nothing of the kind asked for.
func value(name, text string) string {
	v := cutEscaped(escape(strings.TrimSpace(text)), maxValue)
	switch name {
	case "version":
		// A version begins with a letter or a digit and holds a digit; anything
		// else is a peer that says something different.
		if !strings.ContainsAny(v, "0123456789") || strings.ContainsAny(v, " <>\"'`;\\=|$") {
			return ""
		}
	case "hostname":
		if strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.: ") != "" {
			return ""
		}
	}
	return v
}

// fill writes values into a template: "nginx {version}". A name without a
// value becomes nothing, and the spaces around it one.
func fill(template string, values map[string]string) string {
	return strings.Join(strings.Fields(replace(template, func(name string) string { return values[name] })), " ")
}

// fillCPE writes values into a CPE 2.3 template. A version that is not known
// is *, and characters that the CPE grammar reserves are quoted.
func fillCPE(template string, values map[string]string) string {
	return replace(template, func(name string) string {
		return cmp.Or(cpeQuote(strings.ToLower(values[name])), "*")
	})
}

// replace puts a value in the place of each {name}. What a value holds is not
// looked at again: a peer cannot name another value.
func replace(template string, value func(name string) string) string {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(template, "{")
		name, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			return out.String() + template
		}
		out.WriteString(before)
		out.WriteString(value(name))
		template = after
	}
}

func cpeQuote(s string) string {
	var out strings.Builder
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-", r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}

// sign turns what a rule saw in an exchange into evidence.
func (r *Rule) sign(ex Exchange, f found) Sign {
	values := map[string]string{}
	for name, text := range f.groups {
		values[name] = value(name, text)
	}
	s := Sign{
		Rule: r.ID, Kind: r.Kind, Class: r.Class, Reason: r.Reason, Points: r.Points, Probe: ex.Probe,
		Excerpt: r.tell(ex, f.where, values), Service: r.Service, Family: r.Family,
		Product: fill(r.Product, values), Version: values["version"],
	}
	if len(r.Sources) > 0 {
		s.Source = r.Sources[0]
	}
	if r.Version != "" {
		s.Version = fill(r.Version, values)
	}
	if s.Product == "" {
		s.Product = values["product"]
	}
	if r.CPE != "" {
		values["version"] = s.Version
		s.CPE = fillCPE(r.CPE, values)
	}
	return s
}
