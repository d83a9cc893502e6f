package engine

import (
	"crypto/rand"
	"encoding/hex"
)

// containerID is the service's form of one: 32 hex digits and the gateway's number (recorded).
func containerID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:]) + "_G0"
}
