package gatewayfile

import (
	"regexp"

	"github.com/evhub-dev/evhub/internal/setting"
)

var (
	ourKey   = regexp.MustCompile(`(?m)(?:^|[{,])[ \t]*["']?(?:listeners|targets|routes|issuers|rules)["']?[ \t]*:`)
	theirKey = regexp.MustCompile(`(?i)"(?:UserConfig|Evhub)"\s*:`)
)

// Looks tells a gateway file from the emulator's Config.json, by keys of either that stand in it. It sees a file that is broken as well, so
// that the right reader says what is wrong.
func Looks(data []byte) bool {
	if text, err := setting.Text(data); err == nil {
		data = text
	}
	return ourKey.Match(data) && !theirKey.Match(data)
}
