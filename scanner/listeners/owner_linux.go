package listeners

import (
	"io/fs"
	"strconv"
	"syscall"
)

// owner is the user that a file belongs to: its name, else its number.
func owner(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	if name := userName(int(st.Uid)); name != "" {
		return name
	}
	return strconv.Itoa(int(st.Uid))
}
