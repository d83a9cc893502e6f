package broker

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"
)

const localhost = "localhost"

// listen opens host:port, for localhost in both address families.
func listen(ctx context.Context, address string) ([]net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host == localhost {
		return listenLocalhost(ctx, port)
	}
	ln, err := listenOne(ctx, host, port)
	if err != nil {
		return nil, err
	}
	return []net.Listener{ln}, nil
}

// listenLocalhost opens 127.0.0.1 and [::1] on one port, since clients try either first. Port 0 is one that is free in both families, if it
// can be found in a few tries. A machine without IPv6 has the first only.
func listenLocalhost(ctx context.Context, port string) ([]net.Listener, error) {
	for try := 1; ; try++ {
		v4, err := listenOne(ctx, "127.0.0.1", port)
		if err != nil {
			return nil, err
		}
		chosen := strconv.Itoa(v4.Addr().(*net.TCPAddr).Port)
		v6, err := listenOne(ctx, "::1", chosen)
		if err == nil {
			return []net.Listener{v4, v6}, nil
		}
		if !hasIPv6(ctx) {
			return []net.Listener{v4}, nil
		}
		v4.Close()
		if port != "0" || try == 10 {
			return nil, err
		}
	}
}

func hasIPv6(ctx context.Context) bool {
	ln, err := listenOne(ctx, "::1", "0")
	if err == nil {
		ln.Close()
	}
	return err == nil
}

func listenOne(ctx context.Context, host, port string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", net.JoinHostPort(host, port))
}

// isTaken tells that another socket has the port.
func isTaken(err error) bool {
	const wsaeaddrinuse = 10048 // package syscall has no name for it
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && (errno == syscall.EADDRINUSE || runtime.GOOS == "windows" && errno == wsaeaddrinuse)
}

// cause leaves out what net repeats of the address.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// isEverywhere tells that host stands for all addresses of the machine.
func isEverywhere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}
