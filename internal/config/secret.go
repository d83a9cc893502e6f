package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/evhub-dev/evhub/internal/setting"
)

// secrets is where ${env:NAME} and ${file:PATH} are looked up.
type secrets struct {
	lookupEnv func(name string) (string, bool)
	readFile  func(path string) ([]byte, error)
}

// fileSecrets takes the process's environment, and files relative to the directory of the configuration file.
func fileSecrets(configPath string) secrets {
	return secrets{
		lookupEnv: os.LookupEnv,
		readFile: func(path string) ([]byte, error) {
			if !filepath.IsAbs(path) {
				path = filepath.Join(filepath.Dir(configPath), path)
			}
			return setting.ReadFile(path, secretBytesMax)
		},
	}
}

// resolve gives the secret that text refers to, or text itself. Line ends after a secret in a file are dropped. Errors name the reference,
// never a secret.
func (s secrets) resolve(text string) (string, error) {
	reference, ok := strings.CutPrefix(text, "${")
	if !ok {
		return text, nil
	}
	reference, closed := strings.CutSuffix(reference, "}")
	kind, name, ok := strings.Cut(reference, ":")
	switch {
	case ok && closed && kind == "env":
		value, set := s.lookupEnv(name)
		if !set {
			return "", fmt.Errorf("the environment variable %.80q is not set", name)
		}
		return value, nil
	case ok && closed && kind == "file":
		data, err := s.readFile(name)
		if err != nil {
			return "", fmt.Errorf("the file %.200q: %w", name, err)
		}
		if decoded, err := setting.Text(data); err == nil {
			data = decoded // what is not text may be a secret all the same
		}
		return strings.TrimRight(string(data), "\r\n"), nil
	}
	return "", errors.New("begins with ${ and is neither ${env:NAME} nor ${file:PATH}")
}
