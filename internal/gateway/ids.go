package gateway

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

// What is derived begins with a word for its purpose, so that no two purposes ever give the same.
const (
	fromKey   = "evhub message of key"
	fromEvent = "evhub message of event"
	ofKey     = "evhub scope of key"
	ofSubject = "evhub subject"
)

// digest is a hash of the parts, which cannot run into each other.
func digest(parts ...string) [sha256.Size]byte {
	var room [512]byte
	b := room[:0]
	for _, part := range parts {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return sha256.Sum256(b)
}

// setID gives a message the id by which readers can tell a repetition, as the package says.
func (c *call) setID(m *notify.Message, idempotencyKey string, index int) {
	switch {
	case m.ID != "":
	case idempotencyKey != "":
		m.ID = derivedUUID(fromKey, c.principalID, c.hub, idempotencyKey, strconv.Itoa(index))
	case m.Properties[propID] != nil:
		source, _ := m.Properties[propSource].(string)
		id, _ := m.Properties[propID].(string)
		m.ID = derivedUUID(fromEvent, c.principalID, c.hub, source, id)
	default:
		m.ID = newUUID(c.start)
	}
}

// derivedUUID is a UUID of version 8 (RFC 9562, 5.8): a hash that says so.
func derivedUUID(parts ...string) string {
	sum := digest(parts...)
	return formatUUID([16]byte(sum[:16]), 8)
}

// newUUID is a UUID of version 7 (RFC 9562, 5.7): milliseconds, then random. It need not be hard to guess.
func newUUID(now time.Time) string {
	var u [16]byte
	binary.BigEndian.PutUint64(u[:8], uint64(now.UnixMilli())<<16|rand.Uint64()>>48)
	binary.BigEndian.PutUint64(u[8:], rand.Uint64())
	return formatUUID(u, 7)
}

func formatUUID(u [16]byte, version byte) string {
	u[6] = u[6]&0x0f | version<<4
	u[8] = u[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[:8], u[:4])
	hex.Encode(s[9:13], u[4:6])
	hex.Encode(s[14:18], u[6:8])
	hex.Encode(s[19:23], u[8:10])
	hex.Encode(s[24:], u[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
