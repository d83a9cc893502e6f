// Package proc tells what processes use, from Linux's /proc. Elsewhere it says that it cannot.
//
// A server may be several processes (a script, a virtual machine and its helpers), so a figure is always that of a process and all its
// descendants. Processor time is the kernel's own sum in ticks of 10 ms: exact to 1 % over a second.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture Go runs on

// Usage is what a process tree has used so far, and holds now.
type Usage struct {
	CPU      time.Duration // user and system time
	RSSBytes int64
}

// ErrUnsupported is the error where there is no /proc.
var ErrUnsupported = errors.New("proc: processor time of other processes is read from Linux's /proc only")

type entry struct {
	pid, parent int
	Usage
}

// Tree is the usage of a process and its descendants.
func Tree(pid int) (total Usage, err error) {
	list, err := tree(pid)
	for _, e := range list {
		total.CPU += e.CPU
		total.RSSBytes += e.RSSBytes
	}
	return total, err
}

// Kill ends a process and its descendants.
func Kill(pid int) {
	list, _ := tree(pid)
	for _, e := range list {
		if p, err := os.FindProcess(e.pid); err == nil {
			p.Kill()
		}
	}
}

// tree gives the process and its descendants, parents first.
func tree(pid int) ([]entry, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(files) == 0 {
		return nil, ErrUnsupported
	}
	children := make(map[int][]entry)
	var list []entry
	for _, name := range files {
		e, err := read(name)
		if err != nil {
			continue // it ended meanwhile
		}
		children[e.parent] = append(children[e.parent], e)
		if e.pid == pid {
			list = []entry{e}
		}
	}
	if list == nil {
		return nil, fmt.Errorf("proc: no process %d", pid)
	}
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i].pid]...)
	}
	return list, nil
}

// read takes a stat file apart: pid (name) state ppid ..., where the name may hold anything.
func read(name string) (e entry, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return e, err
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return e, errors.New("proc: " + name + " has no name field")
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 22 {
		return e, errors.New("proc: " + name + " has too few fields")
	}
	if f[0] == "Z" {
		return e, errors.New("proc: " + name + " is of a process that has ended")
	}
	var n [5]int64
	for i, s := range []string{string(bytes.TrimSpace(b[:open])), f[1], f[11], f[12], f[21]} {
		if n[i], err = strconv.ParseInt(s, 10, 64); err != nil {
			return e, err
		}
	}
	return entry{int(n[0]), int(n[1]), Usage{time.Duration(n[2]+n[3]) * tick, n[4] * int64(os.Getpagesize())}}, nil
}

// Busy is the time that all processors together have not been idle since the machine started.
func Busy() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, ErrUnsupported
	}
	line, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, errors.New("proc: /proc/stat does not begin with the processors' times")
	}
	var busy int64
	for i, s := range f[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, err
		}
		if i != 3 && i != 4 {
			busy += n
		}
	}
	return time.Duration(busy) * tick, nil
}
