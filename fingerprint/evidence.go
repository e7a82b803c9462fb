package fingerprint

import (
	"time"

	"dormant/scanner"
)

// Evidence is everything that a dialogue with one open port brought, in order,
// as it came over the wire. It is what is stored, and what Judge reads.
type Evidence struct {
	Target  scanner.Target `json:"target"`
	Started time.Time      `json:"started"`
	// Status says how far the dialogue got; what the peer did is data.
	Status Status `json:"status"`
	// Exchanges are in the order of time. Several can share one connection.
	Exchanges []Exchange `json:"exchanges,omitempty"`
	// Host is what is known of the whole host; it is the same for all its ports.
	Host HostContext `json:"host"`
	// Connections counts the TCP connections opened to this port; BytesSent and
	// BytesReceived count application bytes.
	Connections   int           `json:"connections"`
	BytesSent     int           `json:"bytes_sent"`
	BytesReceived int           `json:"bytes_received"`
	Elapsed       time.Duration `json:"elapsed_ns"`
}

// Status is how far a dialogue got. The zero value means "no dialogue was held".
type Status string

// The statuses of a dialogue.
const (
	StatusDone       Status = "done"       // every step that was due was taken
	StatusRefused    Status = "refused"    // the handshake was answered by an RST
	StatusNoConnect  Status = "no_connect" // the handshake timed out: the open port did not accept
	StatusBudget     Status = "budget"     // the budget of time, bytes or connections ended it
	StatusLocalError Status = "local_error"
	StatusCancelled  Status = "cancelled"
)

// Exchange is one step of a dialogue: what was sent, perhaps nothing, and what
// came back.
type Exchange struct {
	// Conn numbers the connection that it ran on, from 1; 0 is a UDP exchange.
	Conn int `json:"conn"`
	// Probe names what was sent: one of the Probe… constants or an opener's id.
	Probe string `json:"probe"`
	// Inside is true when it ran inside TLS.
	Inside bool `json:"inside_tls,omitempty"`
	// At is when the step began, counted from Evidence.Started.
	At       time.Duration `json:"at_ns,omitempty"`
	Sent     []byte        `json:"sent,omitempty"`
	Received []byte        `json:"received,omitempty"` // at most 64 KiB
	// Chunks tell when the received bytes came, at most 256; the last one then
	// counts all that followed.
	Chunks []Chunk `json:"chunks,omitempty"`
	// End says how the exchange ended.
	End End `json:"end"`
	// Connect is how long the handshake took, on the first exchange of a
	// connection; FirstByte is 0 when none came; both from the step's start.
	Connect   time.Duration `json:"connect_ns,omitempty"`
	FirstByte time.Duration `json:"first_byte_ns,omitempty"`
	Elapsed   time.Duration `json:"elapsed_ns"`
	TCP       *TCPInfo      `json:"tcp_info,omitempty"` // after the step, Linux only
	TLS       *TLSInfo      `json:"tls,omitempty"`      // on the step that shook hands
	// Error is why the peer's part failed, in words, for people only.
	Error string `json:"error,omitempty"`
}

// The generic probes of every dialogue, in the order of classification.
const (
	ProbeSilence = "silence" // read without sending
	ProbeGet10   = "get10"   // GET / HTTP/1.0
	ProbeGet11   = "get11"   // GET / HTTP/1.1 with Host and User-Agent
	ProbeGet404  = "get404"  // GET of a random path
	ProbeTLS     = "tls"     // ClientHello; on a plain port Received is its answer to it
	ProbeOldTLS  = "old_tls" // ClientHello with cipher suites that are no longer in use
	ProbeJARM    = "jarm"    // one of the ten ClientHellos of --deep
	ProbeUDP     = "udp"     // the datagram of the sweep
)

// Chunk is one read: how many bytes, and when since the start of the exchange.
type Chunk struct {
	At    time.Duration `json:"at_ns"`
	Bytes int           `json:"bytes"`
}

// End is how an exchange ended.
type End string

// The ends of an exchange.
const (
	EndQuiet   End = "quiet"    // bytes came, then none for the quiet time
	EndTimeout End = "timeout"  // no byte in the whole wait
	EndFin     End = "fin"      // the peer closed
	EndRst     End = "rst"      // the peer reset
	EndFull    End = "full"     // the read limit was reached
	EndReply   End = "reply"    // UDP: a datagram came; TLS: the handshake was completed
	EndRefused End = "refused"  // TCP: RST to the handshake; UDP: ICMP port unreachable
	EndNoConn  End = "no_conn"  // the handshake timed out
	EndTLSFail End = "tls_fail" // the TLS handshake did not complete
	EndCut     End = "cut"      // our budget of time or bytes ended the reading, bytes were still coming
)

// TCPInfo is what the kernel knew of the connection after a step.
type TCPInfo struct {
	Unacked      uint32        `json:"unacked"`
	Retrans      uint32        `json:"total_retrans"`
	BytesAcked   uint64        `json:"bytes_acked"` // counts the SYN
	SendWindow   uint32        `json:"snd_wnd"`     // 0 with HasSendWindow false: the kernel does not tell
	HasSendWnd   bool          `json:"has_snd_wnd"`
	RTT          time.Duration `json:"rtt_ns"`
	ZeroWinProbe bool          `json:"zero_window_probes"`
}

// TLSInfo is what a handshake showed.
type TLSInfo struct {
	Version  string   `json:"version"` // "TLS 1.3"
	Cipher   string   `json:"cipher"`
	ALPN     string   `json:"alpn,omitempty"`
	Chain    [][]byte `json:"chain,omitempty"` // DER, the leaf first, at most 4
	WantCert bool     `json:"wants_client_certificate,omitempty"`
	JARM     string   `json:"jarm,omitempty"` // only when it was asked for
}

// HostContext is what the canary connects told of a host.
type HostContext struct {
	// CanariesAsked and CanariesOpen count connects to random high ports that
	// were not in the plan; no byte was sent on them.
	CanariesAsked int `json:"canaries_asked"`
	CanariesOpen  int `json:"canaries_open"`
}

// AnswersEverywhere reports whether the canaries prove that the host accepts
// connections on ports where nothing can be.
func (h HostContext) AnswersEverywhere() bool { return h.CanariesOpen >= 2 }
