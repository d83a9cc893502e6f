//go:build !linux

package load

import "time"

func precise() func(time.Duration) { return time.Sleep }
