package lab

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// haspLM is the HTTP front of the license manager on 1947: its version shows
// in every answer. open is the administration without a restriction.
func haspLM(version string, open bool) func(r request) string {
	server := "Server: HASP LM/" + version
	return func(r request) string {
		switch {
		case r.method == "" && !strings.Contains(r.raw, "\n"):
			return "" // the binary protocol of local applications is not public: no answer
		case r.method != "GET":
			return response("HTTP/0.0 501 Not Implemented", []string{server, "Date", "Content-Type: text/html", "Content-Length"},
				haspPage("501 Not Implemented", "Your request was not understood or not allowed by this server."))
		case open && r.path == "/":
			return response("HTTP/1.0 302 Moved", []string{server, "Date", "Location: /_int_/index.html", "Content-Type: text/html", "Content-Length"},
				// 106 bytes as the real one; its text is not public
				"<title>302 Moved</title>\n<h1>302 Moved</h1>\n<p>Follow <a href=\"/_int_/index.html\">in this folder</a>.</p>\n")
		case open:
			return response("HTTP/1.0 404 Not Found", []string{server, "Date", "Content-Type: text/html", "Content-Length"},
				haspPage("404 Not Found", "There is no such page in this laboratory."))
		default:
			return response("HTTP/1.0 403 Forbidden", []string{server, "Date", "X-Frame-Options: SAMEORIGIN",
				"Strict-Transport-Security: max-age=0;", "X-Content-Type-Options: nosniff", "Referrer-Policy: strict-origin",
				"Content-Type: text/html", "Content-Length"},
				haspPage("403 Forbidden", "Access to this resource has been denied to you."))
		}
	}
}

// haspPage is the form of the manager's error pages.
func haspPage(status, text string) string {
	return "<title>" + status + "</title>\n<h1>" + status + "</h1>\n" + text + "\n<p>Please contact the administrator.\n"
}

// lmSearch answers the search datagram of license managers in its own layout:
// 40 Base64 characters of 30 bytes, two numbers (little endian) and a buffer of
// 22 bytes with a filler that the host name overwrites from the start. name is
// at most 21 bytes.
func lmSearch(name string) func(request []byte) []byte {
	var plain [30]byte
	binary.LittleEndian.PutUint32(plain[0:], 1735689600) // 2025-01-01 as Unix time
	binary.LittleEndian.PutUint32(plain[4:], 30763)
	copy(plain[8:], "LoremIpsumDolorSitAme\x00")
	copy(plain[8:], name+"\x00")
	reply := []byte(base64.StdEncoding.EncodeToString(plain[:]))
	return func(request []byte) []byte {
		search, err := base64.StdEncoding.DecodeString(string(request))
		if err != nil || len(request) != len(reply) || len(search) != len(plain) || search[len(plain)-1] != 0 {
			return nil
		}
		return reply
	}
}

// rms answers like Sentinel RMS: as many bytes as the request, its header of 12
// echoed, then a constant text.
func rms(request []byte) []byte {
	const header, constant = 12, `,PSH,'A{^QOHpe])]\^cRH>%gNQX` // of the published samples; what follows is not public
	if len(request) <= header {
		return nil
	}
	reply := append([]byte(nil), request[:header]...)
	return append(reply, constant[:min(len(constant), len(request)-header)]...)
}

// netHASP answers 2 to 7 bytes with 70: 62 of a nearly constant text, XORed
// with the inverse of the first byte asked, and eight zeros.
func netHASP(_ context.Context, c *conn) {
	buf := make([]byte, 64)
	for {
		n, err := c.Read(buf)
		if err != nil || n < 2 || n > 7 {
			return
		}
		var reply [70]byte
		for i := range 62 {
			reply[i] = 0xff ^ buf[0]
		}
		reply[1] ^= 0x08
		c.say(string(reply[:]))
	}
}

// keysServer is the web monitor of the Sentinel Keys Server.
func keysServer(version string) func(r request) string {
	return func(r request) string {
		if r.method != "GET" {
			return ""
		}
		return response("HTTP/1.0 200 OK", []string{"Date", "Server: SentinelKeysServer/" + version, "MIME-Version: 1.1", "Content-Type: text/html"},
			"<html><head><title>Sentinel Keys License Monitor</title></head><body>No key is attached to this server.</body></html>\n")
	}
}
