package fingerprint

import (
	"bytes"
	"html"
	"strconv"
	"strings"
)

// maxHead bounds the head of an HTTP answer, in bytes; behind it nothing is read.
const maxHead = 32 << 10

// response is an HTTP answer as the peer wrote it, taken apart as far as rules
// need it. It is no HTTP client: nothing in it is obeyed.
type response struct {
	status  string   // the status line without its line end
	code    int      // 0 when the line has none
	lfOnly  bool     // lines end in LF alone
	head    []byte   // the status line and the header lines, raw
	headers []header // in order, names in lower case
	body    []byte   // with the chunked coding taken off
}

type header struct{ name, value string }

// parseResponse reads an HTTP/0.x or 1.x answer. It accepts what real servers
// send: any case of names, LF line ends, a version without a slash, a body cut
// short. A header that was cut short is none. ok is false when data does not
// begin with a status line.
func parseResponse(data []byte) (*response, bool) {
	line, rest, ok := cutLine(data)
	if !ok && len(line) > 256 {
		return nil, false
	}
	code, ok := statusCode(string(line))
	if !ok {
		return nil, false
	}
	r := &response{status: string(line), code: code, lfOnly: !bytes.HasPrefix(data[len(line):], []byte("\r\n"))}
	for len(rest) > 0 {
		if len(data)-len(rest) > maxHead { // and whatever follows is not looked for
			rest = nil
			break
		}
		if line, rest, ok = cutLine(rest); !ok || len(line) == 0 {
			break // a line without its end may be half a name: "Apache" of "Apache-Coyote"
		}
		if name, value, ok := strings.Cut(string(line), ":"); ok {
			r.headers = append(r.headers, header{strings.ToLower(strings.TrimSpace(name)), strings.Trim(value, " \t")})
		}
	}
	r.head = data[:len(data)-len(rest)]
	r.body = rest
	if strings.EqualFold(r.get("transfer-encoding"), "chunked") {
		r.body = unchunk(rest)
	}
	return r, true
}

// get returns the first header of that name, in lower case, or "".
func (r *response) get(name string) string {
	for _, h := range r.headers {
		if h.name == name {
			return h.value
		}
	}
	return ""
}

// statusCode reads "HTTP/1.1 200 OK" and its relatives: "HTTP/0.0 501 …" of
// Sentinel, "HTTP1.1 200 OK" of old WIBU servers, "RTSP/1.0 400 …" is none.
func statusCode(line string) (int, bool) {
	if !strings.HasPrefix(line, "HTTP") {
		return 0, false
	}
	version, rest, _ := strings.Cut(line[len("HTTP"):], " ")
	version = strings.TrimPrefix(version, "/")
	if len(version) == 0 || len(version) > 3 || strings.Trim(version, "0123456789.") != "" {
		return 0, false
	}
	code, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	n, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || n < 100 {
		return 0, false
	}
	return n, true
}

// cutLine returns the text up to the next LF, without a CR before it, and what
// follows; ok is false when data has no LF.
func cutLine(data []byte) (line, rest []byte, ok bool) {
	line, rest, ok = bytes.Cut(data, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), rest, ok
}

// unchunk takes the chunked coding off as far as it is well formed; a body cut
// short gives what had come. It never grows the body.
func unchunk(data []byte) []byte {
	var out []byte
	for {
		line, rest, ok := cutLine(data)
		if !ok {
			return out
		}
		size, _, _ := strings.Cut(string(line), ";")
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 31)
		if err != nil {
			if out == nil {
				return data // the header lied: the body as it is
			}
			return out
		}
		if n == 0 {
			return out
		}
		if int(n) >= len(rest) {
			return append(out, rest...)
		}
		out = append(out, rest[:n]...)
		_, data, _ = cutLine(rest[n:])
	}
}

// title returns the text of the first <title>, entities resolved and white
// space folded, at most 200 characters, or "".
func title(body []byte) string {
	if len(body) > maxHead {
		body = body[:maxHead]
	}
	lower := lowerASCII(string(body)) // the page may be of any charset, and may be cut in a letter
	start := strings.Index(lower, "<title")
	if start < 0 {
		return ""
	}
	open := strings.IndexByte(lower[start:], '>')
	if open < 0 {
		return ""
	}
	from := start + open + 1
	end := strings.Index(lower[from:], "</title")
	if end < 0 {
		return ""
	}
	text := strings.Join(strings.Fields(html.UnescapeString(string(body[from:from+end]))), " ")
	if runes := []rune(text); len(runes) > 200 {
		text = string(runes[:200])
	}
	return text
}
