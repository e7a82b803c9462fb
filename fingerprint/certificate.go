package fingerprint

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// certFields reads a DER certificate into the fields that rules test. The
// hashes are always there; the others only when it parses, for a certificate
// that cannot be read is still one that can be recognised.
func certFields(der []byte) map[string]string {
	s256, s1, m5 := sha256.Sum256(der), sha1.Sum(der), md5.Sum(der)
	f := map[string]string{
		"cert:sha256": hex.EncodeToString(s256[:]),
		"cert:sha1":   hex.EncodeToString(s1[:]), // the form in which block lists are published
		"cert:md5":    hex.EncodeToString(m5[:]),
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return f
	}
	f["cert:subject"] = nameText(c.RawSubject)
	f["cert:issuer"] = nameText(c.RawIssuer)
	f["cert:serial"] = c.SerialNumber.Text(16)
	f["cert:not_before"] = c.NotBefore.UTC().Format(time.RFC3339)
	f["cert:not_after"] = c.NotAfter.UTC().Format(time.RFC3339)
	f["cert:san"] = strings.Join(alternativeNames(c), ",")
	f["cert:self_signed"] = strconv.FormatBool(string(c.RawSubject) == string(c.RawIssuer))
	f["cert:key"] = keyText(c.PublicKey)
	return f
}

// nameText writes a distinguished name in the certificate's own order, as
// OpenSSL does: "C=US, ST=Minnesota, CN=P18055077"; "" for an empty name.
func nameText(raw []byte) string {
	var seq pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &seq); err != nil {
		return ""
	}
	var parts []string
	for _, set := range seq {
		for _, a := range set {
			parts = append(parts, attributeName(a.Type)+"="+fmt.Sprint(a.Value))
		}
	}
	return strings.Join(parts, ", ")
}

// attributeName is the short name of RFC 4519, or the OID in digits.
func attributeName(oid asn1.ObjectIdentifier) string {
	switch s := oid.String(); s {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.5":
		return "serialNumber"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8":
		return "ST"
	case "2.5.4.9":
		return "street"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "2.5.4.17":
		return "postalCode"
	case "1.2.840.113549.1.9.1":
		return "emailAddress"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	default:
		return s
	}
}

func alternativeNames(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// keyText names a public key: "rsa-2048", "ecdsa-P-256", "ed25519".
func keyText(key any) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return "rsa-" + strconv.Itoa(k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ecdsa-" + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "ed25519"
	default: // foreign input
		return "other"
	}
}
