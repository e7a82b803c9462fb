package reports

// Stylesheet returns the style of the HTML report, for a page beside it that
// should look alike. The caller owns it.
func Stylesheet() ([]byte, error) { return page.ReadFile("page/report.css") }

// Attention reports whether a person should look at the finding, and the words
// for the reason, in printable ASCII.
func Attention(f *Finding) (why string, ok bool) { return attention(f) }

// Mark returns how the HTML report colours the finding: attention, license, dev,
// known or other. Its classes are m-, c- and h- with that word behind.
func Mark(f *Finding) string { return markOf(f) }

// Name returns the best name for what answers, in printable ASCII: its product,
// else what was proved to be spoken.
func Name(f *Finding) string { return escape(name(f), maxText) }
