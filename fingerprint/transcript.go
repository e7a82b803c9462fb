package fingerprint

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Escape writes bytes as one line of printable ASCII: backslash as \\, the
// usual \r, \n and \t, everything else outside 0x20 to 0x7e as \xNN. The
// same bytes can be had back, so a transcript loses nothing, and a peer cannot move
// the cursor of a terminal.
func Escape(b []byte) string {
	var s strings.Builder
	s.Grow(len(b) + len(b)/4)
	for _, c := range b {
		s.WriteString(escapeByte(c))
	}
	return s.String()
}

func escapeByte(c byte) string {
	const hexDigits = "0123456789abcdef"
	switch {
	case c == '\\':
		return `\\`
	case c == '\r':
		return `\r`
	case c == '\n':
		return `\n`
	case c == '\t':
		return `\t`
	case c < 0x20 || c > 0x7e:
		return `\x` + string([]byte{hexDigits[c>>4], hexDigits[c&15]})
	default:
		return string(c)
	}
}

// WriteTranscript prints a dialogue for people: every step in the order of
// time, every byte of it escaped, ">" sent and "<" received. Times are seconds
// since ev.Started.
func WriteTranscript(w io.Writer, ev Evidence) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v, %s\n", ev.Target, ev.Started.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	if ev.Host.CanariesAsked > 0 {
		fmt.Fprintf(&out, "canaries: %d of %d random ports accepted a connection\n", ev.Host.CanariesOpen, ev.Host.CanariesAsked)
	}
	conn := -1
	for _, ex := range ev.Exchanges {
		if ex.Conn != conn {
			conn = ex.Conn
			writeConn(&out, ex)
		}
		writeExchange(&out, ex)
	}
	fmt.Fprintf(&out, "%s: connections %d, bytes sent %d, received %d, in %s\n",
		ev.Status, ev.Connections, ev.BytesSent, ev.BytesReceived, seconds(ev.Elapsed))
	_, err := w.Write(out.Bytes())
	return err
}

func writeConn(out *bytes.Buffer, ex Exchange) {
	switch {
	case ex.Conn == 0:
		fmt.Fprintln(out, "datagram")
	case ex.Connect > 0:
		fmt.Fprintf(out, "connection %d, handshake %s\n", ex.Conn, ex.Connect.Round(time.Microsecond))
	default:
		fmt.Fprintf(out, "connection %d\n", ex.Conn)
	}
}

func writeExchange(out *bytes.Buffer, ex Exchange) {
	name := ex.Probe
	if ex.Inside {
		name += " inside TLS"
	}
	fmt.Fprintf(out, "%9s  %s\n", seconds(ex.At), name)
	writeLines(out, ex.At, '>', ex.Sent)
	rest, chunks := ex.Received, ex.Chunks
	for _, c := range mergeChunks(chunks) {
		n := min(c.Bytes, len(rest))
		writeLines(out, ex.At+c.At, '<', rest[:n])
		rest = rest[n:]
	}
	writeLines(out, ex.At+ex.Elapsed, '<', rest) // evidence without chunks
	if ex.TLS != nil {
		writeTLS(out, ex.TLS)
	}
	fmt.Fprintf(out, "%9s  %s, %d bytes", seconds(ex.At+ex.Elapsed), ex.End, len(ex.Received))
	if t := ex.TCP; t != nil {
		fmt.Fprintf(out, "; acked %d, unacked %d, retransmitted %d, rtt %s", t.BytesAcked, t.Unacked, t.Retrans, t.RTT)
		if t.HasSendWnd {
			fmt.Fprintf(out, ", window %d", t.SendWindow)
		}
	}
	if ex.Error != "" {
		fmt.Fprintf(out, "; %s", Escape([]byte(ex.Error)))
	}
	out.WriteByte('\n')
}

func writeTLS(out *bytes.Buffer, t *TLSInfo) {
	fmt.Fprintf(out, "           %s, %s", Escape([]byte(t.Version)), Escape([]byte(t.Cipher)))
	if t.ALPN != "" {
		fmt.Fprintf(out, ", ALPN %s", Escape([]byte(t.ALPN)))
	}
	if t.WantCert {
		out.WriteString(", wants a client certificate")
	}
	out.WriteByte('\n')
	for i, der := range t.Chain {
		f := certFields(der)
		fmt.Fprintf(out, "           certificate %d: %s, issuer %s, until %s, sha256 %s\n", i+1,
			Escape([]byte(f["cert:subject"])), Escape([]byte(f["cert:issuer"])), f["cert:not_after"], f["cert:sha256"])
	}
}

// mergeChunks joins what came within ten milliseconds: the segments of one
// answer are one entry for a reader.
func mergeChunks(chunks []Chunk) []Chunk {
	var out []Chunk
	last := time.Duration(0)
	for _, c := range chunks {
		if len(out) > 0 && c.At-last < 10*time.Millisecond {
			out[len(out)-1].Bytes += c.Bytes
		} else {
			out = append(out, c)
		}
		last = c.At
	}
	return out
}

// lineWidth is how many escaped characters stand in one line of a transcript.
const lineWidth = 96

// writeLines prints bytes, a new line behind every LF and wherever the line is
// full. Only the first line of a chunk has a time.
func writeLines(out *bytes.Buffer, at time.Duration, mark byte, b []byte) {
	stamp := seconds(at)
	for len(b) > 0 {
		fmt.Fprintf(out, "%9s  %c ", stamp, mark)
		stamp = ""
		width := 0
		for len(b) > 0 {
			text := escapeByte(b[0])
			if width+len(text) > lineWidth {
				break
			}
			out.WriteString(text)
			width += len(text)
			lf := b[0] == '\n'
			if b = b[1:]; lf {
				break
			}
		}
		out.WriteByte('\n')
	}
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) + "s"
}
