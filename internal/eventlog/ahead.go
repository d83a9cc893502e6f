package eventlog

import "github.com/evhub-dev/evhub/internal/prefetch"

// Ahead is where a log will probably put what is appended next: a hint for who makes that up piece by piece. The zero value knows of no
// place. It is not to be kept for longer than that takes.
type Ahead struct{ room []byte }

// AheadOf is for logs. Others may append to the room meanwhile: it is neither read nor written through the hint.
func AheadOf(room []byte) Ahead { return Ahead{room} }

// prepareMax is what Prepare asks for at most: more would push out what is about to be copied, and of a long copy the processor fetches the
// rest by itself.
const prepareMax = 4 << 10

// Prepare has the place of the bytes from at to at+n of what is appended next fetched, or of the first of them. It does not wait for that.
func (a Ahead) Prepare(at, n int) {
	if at+n <= len(a.room) {
		prefetch.Lines(a.room[at : at+min(n, prepareMax)])
	}
}
