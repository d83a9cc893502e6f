package evhubtest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evhub-dev/evhub/internal/engine"
)

// visits are the connections that are open, as the broker's side has them. It is safe for concurrent use.
type visits struct {
	changed bell // a visit has gone

	mu    sync.Mutex // guards what follows
	open  map[*visit]struct{}
	count uint64
}

// visit is the broker's side of one connection.
type visit struct {
	conn
	visits *visits
	number uint64
	dialed []uintptr // stack of the Dial; nil if the connection came through the port
	gone   sync.Once
}

// conn is what the engine uses of a connection, and asks for with Fence.
type conn interface {
	net.Conn
	CloseWrite() error
	Received() int64 // bytes that have come in so far, read or not
}

func (vs *visits) add(c conn, dialed []uintptr) *visit {
	v := &visit{conn: c, visits: vs, dialed: dialed}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.open == nil {
		vs.open = make(map[*visit]struct{})
	}
	vs.count++
	v.number = vs.count
	vs.open[v] = struct{}{}
	return v
}

// dialed adds a connection in memory, and remembers who asked for it.
func (vs *visits) dialed(server *engine.PipeEnd) *visit {
	var stack [32]uintptr
	n := runtime.Callers(3, stack[:]) // the caller of Dial
	return vs.add(server, slices.Clone(stack[:n]))
}

func (v *visit) Close() error {
	err := v.conn.Close()
	v.gone.Do(func() { v.visits.leave(v) })
	return err
}

func (vs *visits) leave(v *visit) {
	vs.mu.Lock()
	delete(vs.open, v)
	vs.mu.Unlock()
	vs.changed.ring()
}

// list gives the visits in the order they came.
func (vs *visits) list() []*visit {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	list := make([]*visit, 0, len(vs.open))
	for v := range vs.open {
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b *visit) int { return cmp.Compare(a.number, b.number) })
	return list
}

// untilEmpty waits until all have gone, and gives those that have not.
func (vs *visits) untilEmpty(most time.Duration) []*visit {
	left := vs.list()
	if len(left) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	vs.changed.until(ctx, func() bool { // what it returns is told by left
		left = vs.list()
		return len(left) == 0
	})
	return left
}

// String names the connection in a sentence.
func (v *visit) String() string {
	if v.dialed == nil {
		return "a connection from " + v.RemoteAddr().String()
	}
	if place := testLine(v.dialed); place != "" {
		return "a connection that was dialed at " + place
	}
	return "a connection that was dialed in memory"
}

// testLine finds the line of a test in a stack, or else the outermost line that is not the runtime's.
func testLine(stack []uintptr) string {
	frames := runtime.CallersFrames(stack)
	place := ""
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); f.File == "" || strings.HasPrefix(f.Function, "runtime.") || strings.HasPrefix(f.Function, "testing.") {
			continue
		}
		place = fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		if strings.HasSuffix(f.File, "_test.go") {
			break
		}
	}
	return place
}

// listener makes a visit of each connection.
type listener struct {
	net.Listener
	visits *visits
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.visits.add(newSocket(nc.(*net.TCPConn)), nil), nil
}
