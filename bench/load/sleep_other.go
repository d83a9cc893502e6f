//go:build !linux

package load

import "time"

func Precise() func(time.Duration) { return time.Sleep }
