package gatewayfile

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/evhub-dev/evhub/internal/setting"
)

const secretBytesMax = 64 << 10

// Secret refers to a secret and does not hold it. It prints as ***, however it is printed. The zero Secret refers to nothing.
type Secret struct {
	env, file string // one is set; file can be opened as it is
}

// IsZero tells whether nothing is referred to.
func (s Secret) IsZero() bool { return s == Secret{} }

// Value reads the secret: a file each time anew, so that it may be replaced while the service runs. Line ends after it are dropped. Errors
// name the reference, never the secret. It is safe for concurrent use.
func (s Secret) Value() (string, error) {
	var value string
	switch {
	case s.env != "":
		value = os.Getenv(s.env)
		if value == "" {
			return "", fmt.Errorf("the environment variable %s is not set, or empty", s.env)
		}
	case s.file != "":
		data, err := setting.ReadFile(s.file, secretBytesMax)
		if err != nil {
			return "", fmt.Errorf("the secret's file %.200q: %w", s.file, err)
		}
		if text, err := setting.Text(data); err == nil {
			data = text // what is not text may be a password all the same
		}
		value = strings.TrimRight(string(data), "\r\n")
		if value == "" {
			return "", fmt.Errorf("the secret's file %.200q is empty", s.file)
		}
	default:
		return "", errors.New("no secret is given")
	}
	return value, nil
}

const hidden = "***"

// Format covers every verb of package fmt.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String is *** or, of the zero Secret, "".
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return hidden
}

// MarshalText gives String, to JSON and others.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue gives String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

var errLiteralSecret = errors.New("is a secret, and this file may be copied and printed: write ${env:NAME} for an environment variable, " +
	"or ${file:PATH}, which may change while the service runs")

// secret never puts what it read into an error, unless it is a reference.
func (d *decoder) secret(n node) (Secret, error) {
	text, ok := n.text()
	if !ok {
		return Secret{}, fmt.Errorf("is %s, not ${env:NAME} or ${file:PATH}", n.kind())
	}
	reference, opened := strings.CutPrefix(text, "${")
	reference, closed := strings.CutSuffix(reference, "}")
	kind, name, _ := strings.Cut(reference, ":")
	switch {
	case !opened || !closed:
		return Secret{}, errLiteralSecret
	case kind == "env" && name != "" && strings.Trim(name, envLetters) == "":
		return Secret{env: name}, nil
	case kind == "file" && name != "":
		return Secret{file: absolute(d.dir(), name)}, nil
	}
	return Secret{}, errors.New("begins with ${ and is neither ${env:NAME} nor ${file:PATH}")
}

const envLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
