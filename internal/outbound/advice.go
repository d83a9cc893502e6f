package outbound

import (
	"fmt"
	"net"
	"strings"

	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/notify"
)

const sendRole = `that the identity has the role "Azure Event Hubs Data Sender" on the hub or its namespace`

var identityAdvice = map[string]string{
	gatewayfile.WorkloadIdentity: `that the pod has the label azure.workload.identity/use: "true" and a service account whose identity trusts it ` +
		"(federated credential), and " + sendRole,
	gatewayfile.ManagedIdentity: "that the host has the managed identity, that clientId names it if there are several, and " + sendRole,
	gatewayfile.DefaultIdentity: "that DefaultAzureCredential finds an identity here (AZURE_TOKEN_CREDENTIALS narrows the search), and " + sendRole,
}

// advised adds what to check to an error of Ready.
func (n *namespace) advised(err error) error {
	var advice string
	switch notify.ReasonOf(err) {
	case notify.Denied:
		advice = n.rightsAdvice()
	case notify.NotFound:
		advice = "that there is a hub of this name at " + n.now.Load().host
	case notify.Unavailable:
		advice = n.wayAdvice(err.Error())
	default:
		return err
	}
	return fmt.Errorf("%w; check %s", err, advice)
}

func (n *namespace) rightsAdvice() string {
	if n.credential != nil {
		return identityAdvice[n.t.EventHubs.Credential]
	}
	return fmt.Sprintf("that the policy %s of the connection string has the right Send, and that its key was not replaced", n.keyName())
}

// wayAdvice goes by the words of the error: the SDK does not hand out the errors that it wraps.
func (n *namespace) wayAdvice(text string) string {
	host := n.now.Load().host
	e := n.t.EventHubs
	if e == nil {
		return "that a broker listens at " + host
	}
	if e.CustomEndpoint != "" {
		host = e.CustomEndpoint
	}
	overAMQP := e.Transport != gatewayfile.OverWebSocket
	switch {
	case strings.Contains(text, tokenless):
		return "that Microsoft Entra can be reached from here"
	case strings.Contains(text, "x509:"):
		return "who signed the certificate of " + host + ": an authority of your own, or a proxy that looks inside, is named by caFile"
	case overAMQP && n.envProxy() != "":
		return fmt.Sprintf("that %s can be reached without a proxy: %s is set, and only transport: websocket goes through it",
			withPort(host, "5671"), n.envProxy())
	case overAMQP:
		return fmt.Sprintf("that %s can be reached; where only HTTPS gets out, write transport: websocket", withPort(host, "5671"))
	}
	return fmt.Sprintf("that https://%s can be reached, through the proxy if there is one", withPort(host, "443"))
}

func (n *namespace) envProxy() string {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		if n.o.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, port)
}
