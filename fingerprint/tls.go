package fingerprint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"
)

// maxChain is how many certificates of a chain are kept.
const maxChain = 4

// shake holds a TLS handshake over w and returns the session, nil when it did
// not come about. The exchange has what the handshake showed; what a peer that
// does not speak TLS said to the ClientHello is in Received.
func shake(ctx context.Context, w *wire, q question, protocols []string) (*tls.Conn, Exchange) {
	ex := Exchange{Probe: ProbeTLS}
	started := time.Now()
	var seen TLSInfo
	session := tls.Client(w, clientConfig(&seen, protocols))
	w.tape = &tape{}
	err := w.SetDeadline(started.Add(q.wait))
	if err == nil && ctx.Err() == nil { // looked at after the deadline was set: the watch may come first
		err = session.Handshake() // bounded by the deadline, and by ctx through the watch
	}
	ex.Elapsed = time.Since(started)
	ex.Sent = w.tape.out
	if err == nil && ctx.Err() == nil {
		w.tape = nil
		state := session.ConnectionState()
		seen.Version, seen.Cipher = tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite)
		seen.ALPN = state.NegotiatedProtocol
		ex.TLS, ex.End = &seen, EndReply
		return session, ex
	}
	ex.Received = w.tape.in
	w.tape = nil
	failed(ctx, w, q, &ex, err)
	plaintext(ex.Received, &seen)
	if state := session.ConnectionState(); state.CipherSuite != 0 { // it failed late: both had agreed
		seen.Version, seen.Cipher = tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite)
	}
	if seen.Version != "" || len(seen.Chain) > 0 {
		ex.TLS = &seen
	}
	return nil, ex
}

// failed completes the exchange of a handshake that did not come about: the
// rest of the answer is read, for its words name the peer's stack.
func failed(ctx context.Context, w *wire, q question, ex *Exchange, err error) {
	answer := ex.Received
	if err == nil { // ctx ended before the first byte
		ex.End = EndTimeout
		return
	}
	end, why := talkEnd(err)
	switch _, alert := errors.AsType[tls.AlertError](err); {
	case len(answer) == 0:
		ex.End, ex.Error = end, why
		return
	case end != EndFin || alert: // reset, timeout, limit; or the peer said no in its own words
		ex.End, ex.Error = EndTLSFail, reason(err)
	default:
		ex.End, ex.Error = EndTLSFail, why
	}
	ex.FirstByte = max(ex.Elapsed, 1)
	ex.Chunks = []Chunk{{At: ex.Elapsed, Bytes: len(answer)}}
	if end == EndCut || end == EndRst || len(answer) >= q.limit || ctx.Err() != nil {
		return
	}
	q.probe, q.send, q.limit = ProbeTLS, nil, q.limit-len(answer)
	q.wait = min(q.wait, 2*q.quiet) // it has answered: only the rest of it is still to come
	rest := ask(ctx, w, q)
	for _, c := range rest.Chunks {
		ex.Chunks = addChunk(ex.Chunks, Chunk{At: ex.Elapsed + c.At, Bytes: c.Bytes})
	}
	ex.Received = append(ex.Received, rest.Received...)
	ex.Elapsed += rest.Elapsed
	if !isTLSRecord(answer) { // a plain port: the end of its answer is the end
		ex.End, ex.Error = rest.End, ""
		if rest.End == EndTimeout {
			ex.End = EndQuiet
		}
	}
}

// clientConfig is the hello of a client that takes what there is: TLS 1.0 to
// 1.3, every cipher suite that Go has, no server name. Nothing is verified,
// everything is recorded in seen; no secret is ever sent inside.
func clientConfig(seen *TLSInfo, protocols []string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, // an audit wants the certificate, above all a bad one
		MinVersion:         tls.VersionTLS10,
		MaxVersion:         tls.VersionTLS13,
		CipherSuites:       allSuites(),
		// without the post-quantum key share, which would make a hello of two segments
		CurvePreferences:       []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
		NextProtos:             protocols,
		SessionTicketsDisabled: true,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			seen.Chain = raw[:min(len(raw), maxChain)]
			return nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			seen.WantCert = true
			return &tls.Certificate{}, nil
		},
	}
}

// allSuites lists every cipher suite that Go implements, the broken ones too:
// named one by one they are offered whatever GODEBUG says.
func allSuites() []uint16 {
	var ids []uint16
	for _, list := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range list {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
