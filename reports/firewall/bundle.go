package firewall

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// BundleFile is one file of a bundle.
type BundleFile struct {
	Name string // with slashes, relative
	Data []byte
}

// BundleFacts are what the manifest says of a bundle.
type BundleFacts struct {
	Ticket   string
	SignedBy string // who signs off, "" for an empty line to sign on paper
	Version  string // of the program
	Made     time.Time
	Results  []string // the headlines
}

// manifest is manifest.json of a bundle.
type manifest struct {
	Schema    int            `json:"schema"` // 1
	Made      time.Time      `json:"made"`
	Ticket    string         `json:"ticket"`
	Version   string         `json:"dormant"`
	Results   []string       `json:"results"`
	Files     []manifestFile `json:"files"`
	Signed    bool           `json:"signed"`
	PublicKey string         `json:"public_key,omitempty"` // base64 of the 32 bytes
}

type manifestFile struct {
	Name   string `json:"name"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

// The names of a bundle's own files.
const (
	manifestName  = "manifest.json"
	signatureName = "manifest.sig" // base64 of the ed25519 signature of manifest.json
	keyName       = "signer.pem"   // the public key
	signOffName   = "sign-off.txt"
)

// WriteBundle writes a zip for a ticket: the files, a block to sign off, a
// manifest with the hash of each, and its signature unless key is nil.
func WriteBundle(w io.Writer, files []BundleFile, facts BundleFacts, key ed25519.PrivateKey) error {
	files = append(slices.Clip(files), BundleFile{signOffName, signOff(facts)})
	m := manifest{Schema: 1, Made: facts.Made.UTC(), Ticket: facts.Ticket, Version: facts.Version, Results: facts.Results, Signed: key != nil}
	if key != nil {
		public, ok := key.Public().(ed25519.PublicKey)
		if !ok {
			return errors.New("firewall: bundle: want an ed25519 key")
		}
		m.PublicKey = base64.StdEncoding.EncodeToString(public)
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return fmt.Errorf("firewall: bundle: the public key: %w", err)
		}
		files = append(files, BundleFile{keyName, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})})
	}
	slices.SortFunc(files, func(a, b BundleFile) int { return strings.Compare(a.Name, b.Name) })
	for i, f := range files {
		if f.Name == manifestName || f.Name == signatureName || i > 0 && f.Name == files[i-1].Name {
			return fmt.Errorf("firewall: bundle: file %q is there twice", f.Name)
		}
		sum := sha256.Sum256(f.Data)
		m.Files = append(m.Files, manifestFile{f.Name, len(f.Data), hex.EncodeToString(sum[:])})
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("firewall: bundle: %w", err)
	}
	text = append(text, '\n')
	files = append(files, BundleFile{manifestName, text})
	if key != nil {
		files = append(files, BundleFile{signatureName, []byte(base64.StdEncoding.EncodeToString(ed25519.Sign(key, text)) + "\n")})
	}
	return writeZip(w, files, facts.Made)
}

func writeZip(w io.Writer, files []BundleFile, made time.Time) error {
	z := zip.NewWriter(w)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: made.UTC()}
		part, err := z.CreateHeader(h)
		if err == nil {
			_, err = part.Write(f.Data)
		}
		if err != nil {
			return fmt.Errorf("firewall: bundle: write %s: %w", f.Name, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("firewall: bundle: %w", err)
	}
	return nil
}

// signOff is the block that people sign.
func signOff(f BundleFacts) []byte {
	fill := func(s string) string {
		if s == "" {
			return strings.Repeat("_", 40)
		}
		return shown(s)
	}
	when := ""
	if f.SignedBy != "" {
		when = f.Made.UTC().Format(time.RFC3339)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Sign-off\n\nTicket:   %s\nResult:   %s\n\nName:     %s\nTime:     %s\nAccepted: [ ] yes   [ ] no, roll back\n\nThe hashes of all files are in %s; %s is its ed25519 signature.\n",
		fill(f.Ticket), strings.Join(f.Results, "\n          "), fill(f.SignedBy), fill(when), manifestName, signatureName)
	return b.Bytes()
}

// The bounds of a bundle that is read.
const (
	maxBundleFiles = 100
	maxBundleBytes = 256 << 20 // unpacked, in all
)

// Checked is what a check of a bundle found.
type Checked struct {
	Made    time.Time
	Ticket  string
	Results []string
	Files   int
	// Signer is the public key of a good signature, nil where there is none.
	Signer ed25519.PublicKey
	// Faults say what is wrong; none: all is as it was written.
	Faults []string
}

// CheckBundle reads a bundle and holds every file against the manifest, and the
// manifest against its signature. An error says that it is no bundle.
func CheckBundle(text []byte) (*Checked, error) {
	files, err := readZip(text)
	if err != nil {
		return nil, err
	}
	raw, ok := files[manifestName]
	if !ok {
		return nil, fmt.Errorf("firewall: bundle: no %s: want what firewall verify --bundle wrote", manifestName)
	}
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil || m.Schema != 1 {
		return nil, fmt.Errorf("firewall: bundle: %s: want schema 1, what firewall verify --bundle wrote", manifestName)
	}
	c := &Checked{Made: m.Made, Ticket: m.Ticket, Results: m.Results, Files: len(m.Files)}
	listed := map[string]bool{manifestName: true, signatureName: true}
	for _, f := range m.Files {
		data, there := files[f.Name]
		sum := sha256.Sum256(data)
		switch {
		case listed[f.Name]:
			c.fault("%s is listed twice", f.Name)
		case !there:
			c.fault("%s is missing", f.Name)
		case hex.EncodeToString(sum[:]) != f.SHA256 || len(data) != f.Size:
			c.fault("%s was changed", f.Name)
		}
		listed[f.Name] = true
	}
	for name := range files {
		if !listed[name] {
			c.fault("%s was added", name)
		}
	}
	slices.Sort(c.Faults)
	c.signature(&m, raw, files[signatureName])
	return c, nil
}

func (c *Checked) fault(format string, name string) {
	c.Faults = append(c.Faults, fmt.Sprintf(format, shown(name)))
}

// signature checks the signature of the manifest.
func (c *Checked) signature(m *manifest, raw, text []byte) {
	if !m.Signed && text == nil {
		return
	}
	public, err1 := base64.StdEncoding.DecodeString(m.PublicKey)
	sig, err2 := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err1 != nil || err2 != nil || len(public) != ed25519.PublicKeySize || !ed25519.Verify(public, raw, sig) {
		c.fault("%s does not fit the manifest", signatureName)
		return
	}
	c.Signer = public
}

func readZip(text []byte) (map[string][]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return nil, fmt.Errorf("firewall: bundle: %w", err)
	}
	if len(z.File) > maxBundleFiles {
		return nil, fmt.Errorf("firewall: bundle: %d files: want at most %d", len(z.File), maxBundleFiles)
	}
	out := map[string][]byte{}
	left := int64(maxBundleBytes)
	for _, f := range z.File {
		if _, twice := out[f.Name]; twice {
			return nil, fmt.Errorf("firewall: bundle: %s is there twice", shown(f.Name))
		}
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("firewall: bundle: %s: %w", shown(f.Name), err)
		}
		data, err := io.ReadAll(io.LimitReader(r, left+1))
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("firewall: bundle: %s: %w", shown(f.Name), err)
		}
		if left -= int64(len(data)); left < 0 {
			return nil, fmt.Errorf("firewall: bundle: more than %d bytes unpacked", maxBundleBytes)
		}
		out[f.Name] = data
	}
	return out, nil
}

// NewKey makes a key for signing, as PEM (PKCS 8).
func NewKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("firewall: make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("firewall: make a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads what NewKey makes.
func ParseKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block != nil && block.Type == "PRIVATE KEY" {
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if key, ok := key.(ed25519.PrivateKey); ok {
				return key, nil
			}
		}
	}
	return nil, errors.New("firewall: key: want an ed25519 private key in PEM (PKCS 8)")
}

// ParsePublicKey reads the public key of a bundle, or base64 of its 32 bytes.
func ParsePublicKey(text []byte) (ed25519.PublicKey, error) {
	if block, _ := pem.Decode(text); block != nil {
		if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			if key, ok := key.(ed25519.PublicKey); ok {
				return key, nil
			}
		}
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text))); err == nil && len(raw) == ed25519.PublicKeySize {
		return raw, nil
	}
	return nil, errors.New("firewall: key: want an ed25519 public key, in PEM or base64")
}
