//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// typedReaches tells that Ctrl-C typed at our terminal reaches us and process pid alike: both are in the group in its foreground. Where
// standard input comes from has nothing to do with it.
func typedReaches(pid int) bool {
	tty, err := os.Open("/dev/tty")
	if err != nil { // we have no terminal
		return false
	}
	defer tty.Close()
	foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	if err != nil || foreground != unix.Getpgrp() {
		return false
	}
	group, err := unix.Getpgid(pid)
	return err == nil && group == foreground
}
