package outbound

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/notify"
)

// entra stands for Microsoft Entra behind a proxy. What it gives out as access tokens are tokens that the broker takes, which goes by what
// a token is and not by what it is called.
type entra struct {
	t      testing.TB
	status atomic.Int32 // of answers to token requests
	asked  atomic.Int32
	client atomic.Value // client_id of the last request
}

func sasToken() string {
	return auth.SignSAS("amqps://"+namespaceHost+"/", "send", firstKey, time.Now().Add(time.Hour))
}

func (e *entra) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, body map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(body)
	}
	const authority = "https://login.microsoftonline.com/tenant"
	switch {
	case strings.HasPrefix(r.URL.Path, "/common/discovery/instance"):
		answer(http.StatusOK, map[string]any{
			"tenant_discovery_endpoint": authority + "/v2.0/.well-known/openid-configuration",
			"metadata": []any{map[string]any{
				"preferred_network": "login.microsoftonline.com", "preferred_cache": "login.microsoftonline.com",
				"aliases": []string{"login.microsoftonline.com"},
			}},
		})
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		answer(http.StatusOK, map[string]any{
			"authorization_endpoint": authority + "/oauth2/v2.0/authorize", "token_endpoint": authority + "/oauth2/v2.0/token", "issuer": authority + "/v2.0",
		})
	case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
		e.asked.Add(1)
		e.client.Store(r.FormValue("client_id") + " " + r.FormValue("client_assertion") + " " + r.FormValue("scope"))
		if status := int(e.status.Load()); status != http.StatusOK {
			answer(status, map[string]any{"error": "invalid_client", "error_description": "AADSTS70021: no federated credential"})
			return
		}
		answer(http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": sasToken()})
	default:
		e.t.Errorf("asked for %s", r.URL)
		http.NotFound(w, r)
	}
}

// workload sets up a pod with workload identity, which reaches Entra and the namespace through a proxy only.
func workload(t *testing.T, status int) (*broker, *config, *entra, string) {
	b, c, e := newBroker(t), newConfig(t), &entra{t: t}
	e.status.Store(int32(status))
	login := b.ca.serve(t, e.ServeHTTP)
	p := newProxy(t, map[string]string{
		namespaceHost + ":443": b.listenWeb(), "login.microsoftonline.com:443": login, "login.microsoft.com:443": login,
	})
	c.write("ca.pem", b.ca.pem())
	c.write("token", "assertion-of-the-pod")
	for name, value := range map[string]string{
		"AZURE_CLIENT_ID": "of-the-pod", "AZURE_TENANT_ID": "tenant", "AZURE_FEDERATED_TOKEN_FILE": filepath.Join(c.dir, "token"), "AZURE_AUTHORITY_HOST": "",
	} {
		t.Setenv(name, value)
	}
	return b, c, e, fmt.Sprintf("namespace: %s, transport: websocket, proxy: %q, caFile: ca.pem", namespaceHost, p.address)
}

func TestWorkloadIdentity(t *testing.T) {
	b, c, e, where := workload(t, http.StatusOK)
	mustNotify(t, c.open(fmt.Sprintf("{eventHubs: {%s, credential: workload}}", where), nil), "orders")
	if b.stored("orders") != 1 {
		t.Errorf("stored %d", b.stored("orders"))
	}
	const want = "of-the-pod assertion-of-the-pod https://eventhubs.azure.net//.default"
	if got := fmt.Sprint(e.client.Load()); !strings.HasPrefix(got, want) {
		t.Errorf("asked for %s", got)
	}
	mustNotify(t, c.open(fmt.Sprintf("{eventHubs: {%s, credential: workload, clientId: chosen}}", where), nil), "orders")
	if got := fmt.Sprint(e.client.Load()); !strings.HasPrefix(got, "chosen ") {
		t.Errorf("asked for %s", got)
	}
}

// TestDefaultIdentity finds the workload identity, which comes before all that could be on this machine.
func TestDefaultIdentity(t *testing.T) {
	b, c, e, where := workload(t, http.StatusOK)
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "WorkloadIdentityCredential")
	mustNotify(t, c.open(fmt.Sprintf("{eventHubs: {%s, credential: default}}", where), nil), "orders")
	if b.stored("orders") != 1 || e.asked.Load() == 0 {
		t.Errorf("stored %d, asked %d times", b.stored("orders"), e.asked.Load())
	}
}

func TestRefusedIdentity(t *testing.T) {
	_, c, _, where := workload(t, http.StatusUnauthorized)
	target := c.open(fmt.Sprintf("{eventHubs: {%s, credential: workload}}", where), nil)
	mustNotifier(t, target, "orders")
	wantNotReady(t, target, notify.Denied, "target t: hub orders: this service's credentials may not send to the hub: WorkloadIdentityCredential",
		"check "+identityAdvice[gatewayfile.WorkloadIdentity])
}

// TestManagedIdentity asks the endpoint of an Azure App Service, which is one that can be anywhere.
func TestManagedIdentity(t *testing.T) {
	b, c := newBroker(t), newConfig(t)
	var asked atomic.Value
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Header.Get("X-IDENTITY-HEADER") + " " + r.FormValue("client_id") + " " + r.FormValue("resource"))
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{
			"access_token": sasToken(), "expires_on": fmt.Sprint(time.Now().Add(time.Hour).Unix()), "resource": r.FormValue("resource"), "token_type": "Bearer",
		})
	}))
	defer host.Close()
	t.Setenv("IDENTITY_ENDPOINT", host.URL)
	t.Setenv("IDENTITY_HEADER", "header-of-the-host")
	c.write("ca.pem", b.ca.pem())
	where := fmt.Sprintf("namespace: %s, customEndpoint: %q, caFile: ca.pem", namespaceHost, b.listen(true))
	id := fmt.Sprint("chosen", time.Now().UnixNano()) // the SDK remembers tokens of managed identities for the whole process
	mustNotify(t, c.open(fmt.Sprintf("{eventHubs: {%s, credential: managed, clientId: %s}}", where, id), nil), "orders")
	if got := fmt.Sprint(asked.Load()); got != "header-of-the-host "+id+" https://eventhubs.azure.net/" {
		t.Errorf("asked for %s", got)
	}
	if b.stored("orders") != 1 {
		t.Errorf("stored %d", b.stored("orders"))
	}
}

func TestWorkloadIdentityWithoutPod(t *testing.T) {
	t.Setenv("AZURE_CLIENT_ID", "x")
	t.Setenv("AZURE_TENANT_ID", "x")
	c := newConfig(t)
	target := c.target("{eventHubs: {namespace: a.servicebus.windows.net, credential: workload}}")
	const want = "target t: credential workload: no token file specified. Check pod configuration or set TokenFilePath in the options; check that the pod"
	if _, err := Open(t.Context(), target, c.options(nil)); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

// finalError is marked as azidentity marks its errors.
type finalError struct{ error }

func (finalError) NonRetriable() {}

type credentialFunc func(context.Context) (azcore.AccessToken, error)

func (f credentialFunc) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return f(ctx)
}

func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var final interface{ NonRetriable() }
		silent := &patient{credentialFunc(func(ctx context.Context) (azcore.AccessToken, error) {
			<-ctx.Done()
			return azcore.AccessToken{}, finalError{ctx.Err()}
		})}
		begun := time.Now()
		_, err := silent.GetToken(t.Context(), policy.TokenRequestOptions{})
		if took := time.Since(begun); took != tokenTime || err == nil || errors.As(err, &final) {
			t.Errorf("after %s: %v", took, err)
		}
		firm := &patient{credentialFunc(func(context.Context) (azcore.AccessToken, error) {
			return azcore.AccessToken{}, finalError{errors.New("no")}
		})}
		if _, err := firm.GetToken(t.Context(), policy.TokenRequestOptions{}); !errors.As(err, &final) {
			t.Errorf("a refusal became %v", err)
		}
	})
}

// TestEntraIsDown tells that nobody answers from that somebody says no.
func TestEntraIsDown(t *testing.T) {
	_, c, _, where := workload(t, http.StatusOK)
	target := c.target(fmt.Sprintf("{eventHubs: {%s, credential: workload}}", where))
	synctest.Test(t, func(t *testing.T) { // the SDK tries several times, with pauses
		credential, err := newCredential(target.EventHubs, &http.Client{Transport: refusing{}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://eventhubs.azure.net//.default"}})
		if err == nil || !strings.HasPrefix(err.Error(), tokenless) {
			t.Errorf("got %v", err)
		}
	})
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no way there")
}
