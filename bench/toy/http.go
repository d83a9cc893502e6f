package toy

import (
	"io"
	"net/http"
	"sync"
)

// HTTP is the least that a notification service in Go does: it reads the body and answers 201. No credential is looked at and nothing is
// stored.
type HTTP struct{ buffers sync.Pool }

const postBytesMax = 1 << 20

// ServeHTTP answers one request.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := h.buffers.Get().(*[]byte)
	if b == nil {
		b = new([]byte)
	}
	defer h.buffers.Put(b)
	if n := r.ContentLength; n < 0 || n > postBytesMax {
		http.Error(w, "announce the body's length", http.StatusLengthRequired)
		return
	} else if int64(cap(*b)) < n {
		*b = make([]byte, n)
	}
	if _, err := io.ReadFull(r.Body, (*b)[:r.ContentLength]); err != nil {
		return
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, `{"hub":"bench","id":"00000000-0000-0000-0000-000000000000","partition":"0","sequence":0}`)
}
