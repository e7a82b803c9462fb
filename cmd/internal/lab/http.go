package lab

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// request is what an HTTP server makes of the first bytes of a client.
type request struct {
	method, path, version string // empty when the bytes are no HTTP request
	host                  string
	hasHost               bool
	raw                   string // everything that was read
}

// readRequest reads up to the empty line that ends a request, or to the first
// bytes that can be none. ok is false when the client left before that. Empty
// lines in front are skipped, as RFC 9112 section 2.2 asks.
func readRequest(c *conn) (r request, ok bool) {
	buf := make([]byte, 4096)
	var raw strings.Builder
	for {
		n, err := c.Read(buf)
		raw.Write(buf[:n])
		r.raw = strings.TrimLeft(raw.String(), "\r\n")
		if r.raw != "" && (r.raw[0] < 'A' || r.raw[0] > 'Z') {
			return r, true
		}
		if head, _, ended := strings.Cut(strings.ReplaceAll(r.raw, "\r\n", "\n"), "\n\n"); ended {
			r.parse(head)
			return r, true
		}
		if err != nil {
			return r, false
		}
	}
}

func (r *request) parse(head string) {
	line, fields, _ := strings.Cut(head, "\n")
	words := strings.Split(line, " ")
	if len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/1.") {
		return
	}
	r.method, r.path, r.version = words[0], words[1], words[2]
	for field := range strings.SplitSeq(fields, "\n") {
		if name, value, found := strings.Cut(field, ":"); found && strings.EqualFold(name, "Host") {
			r.host, r.hasHost = strings.TrimSpace(value), true
		}
	}
}

// response is a status line, header lines and a body. A header line that ends
// in ": " and nothing gets the date or the length by its name.
func response(status string, header []string, body string) string {
	var b strings.Builder
	b.WriteString(status + "\r\n")
	for _, h := range header {
		switch h {
		case "Date":
			h += ": " + time.Now().UTC().Format(http.TimeFormat)
		case "Content-Length":
			h += fmt.Sprintf(": %d", len(body))
		}
		b.WriteString(h + "\r\n")
	}
	return b.String() + "\r\n" + body
}

// site plays an HTTP server that answers one request and closes.
func site(answer func(r request) string) handler {
	return streams(func(_ context.Context, c *conn) {
		if r, ok := readRequest(c); ok {
			c.say(answer(r))
		}
	})
}

// nodeBad is what every Node.js server answers to bytes that are no HTTP.
const nodeBad = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"

// vite answers every path with the page, which loads the client of Vite.
func vite(r request) string {
	if r.method == "" {
		return nodeBad
	}
	const page = `<!doctype html><html><head>
  <script type="module" src="/@vite/client"></script>
<title>app</title></head><body><script type="module" src="/src/index.js"></script></body></html>
`
	header := []string{"Vary: Origin", "Content-Type: text/html", "Cache-Control: no-cache",
		`Etag: W/"b3-kC03X4yFtLxUhWUOsb9TUxpPZDU"`, "Date", "Connection: close"}
	if r.version == "HTTP/1.1" {
		header = append(header, "Content-Length")
	}
	return response("HTTP/1.1 200 OK", header, page)
}

// webpack insists on a Host that it knows: an address or localhost.
func webpack(r request) string {
	if r.method == "" {
		return nodeBad
	}
	host, _, err := net.SplitHostPort(r.host)
	if err != nil {
		host = r.host
	}
	if !r.hasHost || net.ParseIP(host) == nil && host != "localhost" {
		return response("HTTP/1.1 403 Forbidden", []string{"X-Powered-By: Express", "Date", "Connection: close"}, "Invalid Host header")
	}
	common := []string{"X-Powered-By: Express", "Cross-Origin-Resource-Policy: same-origin"}
	if r.path == "/" {
		return response("HTTP/1.1 200 OK", append(common, "Accept-Ranges: bytes", "Cache-Control: public, max-age=0",
			"Content-Type: text/html; charset=UTF-8", "Content-Length", "Vary: Accept-Encoding", "Date", "Connection: close"),
			"<html></html>\n")
	}
	return response("HTTP/1.1 404 Not Found", append(common, "Content-Security-Policy: default-src 'none'", "X-Content-Type-Options: nosniff",
		"Content-Type: text/html; charset=utf-8", "Content-Length", "Vary: Accept-Encoding", "Date", "Connection: close"),
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n<body>\n<pre>Cannot "+
			printable(r.method)+" "+printable(r.path)+"</pre>\n</body>\n</html>\n")
}

// pythonHTTP is http.server of Python 3.11, which answers bytes that are no
// HTTP with a page and no status line.
func pythonHTTP(r request) string {
	const server = "Server: SimpleHTTP/0.6 Python/3.11.2"
	switch {
	case r.method == "":
		return pythonError(400, "Bad request syntax ('"+printable(r.raw)+"')", "Bad request syntax or unsupported method")
	case r.method != "GET" && r.method != "HEAD":
		return response("HTTP/1.0 501 Unsupported method ('"+printable(r.method)+"')",
			[]string{server, "Date", "Connection: close", "Content-Type: text/html;charset=utf-8", "Content-Length"},
			pythonError(501, "Unsupported method ('"+printable(r.method)+"').", "Server does not support this operation"))
	case r.path == "/":
		return response("HTTP/1.0 200 OK", []string{server, "Date", "Content-type: text/html; charset=utf-8", "Content-Length"},
			"<!DOCTYPE HTML>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Directory listing for /</title>\n</head>\n<body>\n"+
				"<h1>Directory listing for /</h1>\n<hr>\n<ul>\n<li><a href=\"a.txt\">a.txt</a></li>\n</ul>\n<hr>\n</body>\n</html>\n")
	default:
		return response("HTTP/1.0 404 File not found",
			[]string{server, "Date", "Connection: close", "Content-Type: text/html;charset=utf-8", "Content-Length"},
			pythonError(404, "File not found", "Nothing matches the given URI"))
	}
}

func pythonError(code int, message, explain string) string {
	return fmt.Sprintf("<!DOCTYPE HTML>\n<html lang=\"en\">\n    <head>\n        <meta charset=\"utf-8\">\n        <title>Error response</title>\n"+
		"    </head>\n    <body>\n        <h1>Error response</h1>\n        <p>Error code: %d</p>\n        <p>Message: %s.</p>\n"+
		"        <p>Error code explanation: %d - %s.</p>\n    </body>\n</html>\n", code, message, code, explain)
}

// blockPage gives its page to whatever comes, HTTP or not.
func blockPage(_ context.Context, c *conn) {
	buf := make([]byte, 4096)
	if n, _ := c.Read(buf); n == 0 {
		return
	}
	c.say(response("HTTP/1.1 503 Service Unavailable", []string{"Content-Type: text/html", "Content-Length", "Connection: close"},
		"<html><head><title>Web Page Blocked!</title></head><body><p>Access denied by policy. Category: none</p></body></html>"))
}

// goHTTP is net/http itself, which knows no path but the front page.
func goHTTP(_ context.Context, c *conn) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "<h1>build status</h1>\n") // a client that is gone
	})
	s := http.Server{Handler: mux, ReadTimeout: maxAge, WriteTimeout: maxAge}
	_ = s.Serve(only(c)) // always an error: the listener ends after its one connection
}

// oneConn is a listener of exactly one connection: Serve returns when that is
// closed.
type oneConn struct {
	*conn
	given chan *conn
	done  chan struct{}
	once  sync.Once
}

func only(c *conn) *oneConn {
	o := &oneConn{conn: c, given: make(chan *conn, 1), done: make(chan struct{})}
	o.given <- c
	return o
}

// Accept returns the connection first and waits for its end then.
func (o *oneConn) Accept() (net.Conn, error) {
	select {
	case <-o.given:
		return &watched{o.conn, o}, nil
	case <-o.done:
		return nil, net.ErrClosed
	}
}

// Close is called by the server that gives up the listener.
func (o *oneConn) Close() error { o.once.Do(func() { close(o.done) }); return nil }

// Addr is the address that the connection came to.
func (o *oneConn) Addr() net.Addr { return o.LocalAddr() }

// watched tells its listener when it is closed.
type watched struct {
	*conn
	listener *oneConn
}

func (w *watched) Close() error {
	err := w.conn.Close()
	_ = w.listener.Close() // it never fails
	return err
}

// printable keeps a foreign text from breaking a page that quotes it.
func printable(s string) string {
	const most = 200 // bytes
	s = s[:min(len(s), most)]
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case strings.IndexByte("<>&\"'\\", c) >= 0 || c < 0x20 || c > 0x7e:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
