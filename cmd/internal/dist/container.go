package main

import (
	"fmt"
	"io/fs"
)

// containerUser is the user that Containerfile names, which is nobody on any
// host.
const containerUser = 65532

// Container is a folder that docker and podman build an image from, with the
// program for each architecture of Linux.
func Container(programs []*Program) (Files, error) {
	var all Files
	for _, name := range []struct{ file, as string }{
		{"Containerfile", "Containerfile"}, {"Containerfile", "Dockerfile"}, {"container.md", "README.md"},
		{"never-scan.txt", "rootfs/etc/dormant/never-scan.txt"},
	} {
		text, err := asset(name.file)
		if err != nil {
			return nil, err
		}
		all.Add(name.as, text)
	}
	all.Add("rootfs/etc/passwd", fmt.Appendf(nil, "root:x:0:0:root:/:/\ndormant:x:%d:%d:dormant:/var/lib/dormant:/\n", containerUser, containerUser))
	all.Add("rootfs/etc/group", fmt.Appendf(nil, "root:x:0:\ndormant:x:%d:\n", containerUser))
	all.Folder("rootfs/tmp", fs.ModeSticky|0o777)
	all.Folder("state", 0o770)
	for _, p := range programs {
		if p.OS == "linux" {
			all.Program("linux/"+p.Arch+"/dormant", p.Data)
		}
	}
	return all.Tree(), nil
}
