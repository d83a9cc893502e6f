package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/evhub-dev/evhub/internal/gatewayfile"
)

// tokenTime is how long a token may take.
const tokenTime = 20 * time.Second

// newCredential finds out who this service is to Microsoft Entra. It asks for no token yet.
func newCredential(e *gatewayfile.EventHubs, client *http.Client) (azcore.TokenCredential, error) {
	c := azcore.ClientOptions{Transport: client}
	var credential azcore.TokenCredential
	var err error
	switch e.Credential {
	case gatewayfile.WorkloadIdentity:
		credential, err = azidentity.NewWorkloadIdentityCredential(
			&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: c, ClientID: e.ClientID})
	case gatewayfile.ManagedIdentity:
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: c}
		if e.ClientID != "" {
			o.ID = azidentity.ClientID(e.ClientID)
		}
		credential, err = azidentity.NewManagedIdentityCredential(o)
	case gatewayfile.DefaultIdentity:
		credential, err = azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: c})
	default:
		return nil, fmt.Errorf("credential: %q is none", e.Credential)
	}
	if err != nil {
		return nil, fmt.Errorf("credential %s: %w; check %s", e.Credential, err, identityAdvice[e.Credential])
	}
	return &patient{credential}, nil
}

// patient is a credential that gives up after tokenTime, and tells "nobody answers" from "no".
type patient struct{ azcore.TokenCredential }

func (p *patient) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTime)
	defer cancel()
	token, err := p.TokenCredential.GetToken(ctx, o)
	if err != nil && (ctx.Err() != nil || unanswered(err)) {
		// Not wrapped: azidentity marks all its errors as final, and this one is not.
		return token, fmt.Errorf("%s: %v", tokenless, err)
	}
	return token, err
}

const tokenless = "no token could be had from Microsoft Entra"

// unanswered tells whether an authority could not be reached, or could not say yes or no.
func unanswered(err error) bool {
	failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if !ok {
		return false
	}
	r := failed.RawResponse
	return r == nil || r.StatusCode >= 500 || r.StatusCode == http.StatusTooManyRequests
}
