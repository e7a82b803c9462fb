package lab

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"
)

// redis knows the inline form of its protocol, as far as strangers get. What
// was answered to the lines of one read is sent together, as Redis does: the
// line that looks like HTTP swallows the answers before it.
func redis(_ context.Context, c *conn) {
	buf := make([]byte, 4096)
	pending := ""
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		pending += string(buf[:n])
		var out strings.Builder
		for {
			line, rest, ended := strings.Cut(pending, "\n")
			if !ended {
				break
			}
			pending = rest
			answer, goOn := redisLine(strings.Fields(line))
			if !goOn {
				return
			}
			out.WriteString(answer)
		}
		c.say(out.String())
	}
}

func redisLine(words []string) (answer string, goOn bool) {
	if len(words) == 0 {
		return "", true
	}
	switch strings.ToLower(words[0]) {
	case "ping":
		return "+PONG\r\n", true
	case "get":
		if len(words) == 2 {
			return "$-1\r\n", true
		}
		return "-ERR wrong number of arguments for 'get' command\r\n", true
	case "post", "host:": // "possible security attack": it closes
		return "", false
	case "quit":
		return "", false
	default:
		const most = 128 // bytes of arguments that Redis repeats
		args := ""
		for _, w := range words[1:] {
			if args += "'" + printable(w) + "' "; len(args) > most {
				break
			}
		}
		return fmt.Sprintf("-ERR unknown command '%s', with args beginning with: %s\r\n", printable(words[0]), args), true
	}
}

// postgres answers the request for encryption with no, a start-up message with
// a refusal, and closes on anything else without a byte.
func postgres(_ context.Context, c *conn) {
	const sslRequest, gssRequest, version3 = 80877103, 80877104, 196608
	in := bufio.NewReaderSize(c, 8192) // as its own: what it read before it closes is not reset
	for {
		var head [8]byte // length, code; PostgreSQL documentation, Message Formats
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		size, code := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
		switch {
		case size == 8 && (code == sslRequest || code == gssRequest):
			c.say("N")
		case code == version3 && size > 8 && size <= 10000:
			if _, err := io.CopyN(io.Discard, in, int64(size-8)); err != nil {
				return
			}
			body := "SFATAL\x00VFATAL\x00C28000\x00Mno pg_hba.conf entry for this host\x00\x00"
			c.say(string(binary.BigEndian.AppendUint32([]byte("E"), uint32(4+len(body)))) + body)
			return
		default:
			return
		}
	}
}

// ssh gives its identification and refuses whoever has none.
func ssh(_ context.Context, c *conn) {
	c.say("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10\r\n")
	line, err := bufio.NewReaderSize(c, 256).ReadSlice('\n')
	if err == nil && !strings.HasPrefix(string(line), "SSH-") {
		c.say("Invalid SSH identification string.\r\n")
	}
}

// shell answers each line with the text that a POSIX shell prints for a command
// that it does not find. It is text: nothing is looked up or executed.
func shell(_ context.Context, c *conn) {
	in := bufio.NewReaderSize(c, 1024)
	for number := 1; ; number++ {
		line, err := in.ReadSlice('\n')
		if err != nil { // also a line of more than 1024 bytes
			return
		}
		if words := strings.Fields(string(line)); len(words) > 0 {
			c.say(fmt.Sprintf("sh: %d: %s: not found\n", number, words[0]))
		}
	}
}

// drip wastes the client's time with a byte every 700 ms, for as long as a
// connection may live.
func drip(ctx context.Context, c *conn) {
	tick := time.NewTicker(700 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		if _, err := c.Write([]byte{'a' + byte(i*7%26)}); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// deadForward accepts and closes, as a forward does whose server is down.
func deadForward(context.Context, *conn) {}

// silent reads and never answers.
func silent(_ context.Context, c *conn) { _, _ = io.Copy(io.Discard, c) }
