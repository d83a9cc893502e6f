package auth

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

const vectorExpiry = 1700000000

var beforeExpiry = time.Unix(vectorExpiry-1, 0)

// Each resource is encoded as a client encodes it; the signatures were computed elsewhere.
var vectors = []struct{ name, sr, sig string }{
	{"escapes in upper case", "sb%3A%2F%2Flocalhost%2Fhub", "ChipCjHp9obVQuFPL8dLc1uHnFkDJxHZD3nhKW4AEh4="},
	{"escapes in lower case", "sb%3a%2f%2flocalhost%2fhub", "ob7HY0S4zW4csuh2gL5uMjH1uLXjVs0WLWOitYIvXX4="},
	{"Go against an emulator", "amqp%3a%2f%2flocalhost%2fhub", "RBVhfS0PCqNCQJV+8MrEP4OD4xpWjTqBu5WofKUslHs="},
	{"made by hand", "sb://localhost/hub", "d6ty6jQkitXwl58gahTctEEIC5QAEXC9e109XCaXF8g="},
}

func vectorToken(sr, sig string) string {
	return fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%d&skn=%s", sr, sig, vectorExpiry, RootKeyName)
}

func development(t *testing.T) *Policies {
	t.Helper()
	ps, err := NewPolicies(DevelopmentPolicies("ns")...)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func TestVectors(t *testing.T) {
	t.Parallel()
	ps := development(t)
	for _, v := range vectors {
		for encoding, sig := range map[string]string{
			"escaped":            url.QueryEscape(v.sig),
			"escaped lower case": strings.NewReplacer("=", "%3d", "+", "%2b", "/", "%2f").Replace(v.sig),
			"as it is":           v.sig,
		} {
			name := v.name + ", signature " + encoding
			grant, err := ps.Authenticate(KindSAS, vectorToken(v.sr, sig), "amqp://localhost:5672/hub/Partitions/0", beforeExpiry)
			wantReason(t, name, err, 0)
			want := Grant{Namespace: "ns", Principal: RootKeyName, Rights: Manage, Path: "hub", Expires: time.Unix(vectorExpiry, 0).UTC()}
			if grant != want {
				t.Errorf("%s: got %+v", name, grant)
			}
		}
	}
	got := SignSAS("sb://localhost/hub", RootKeyName, RootKey, time.Unix(vectorExpiry, 0))
	if want := vectorToken(vectors[0].sr, url.QueryEscape(vectors[0].sig)); got != want {
		t.Errorf("signed: got %s, want %s", got, want)
	}
}

// What each SDK signs, and what it then asks for.
func TestClientEncodings(t *testing.T) {
	t.Parallel()
	ps := development(t)
	for _, c := range []struct{ name, sr, audience, path string }{
		{"Go", strings.ToLower(url.QueryEscape("amqps://ns.x:5671/Hub/ConsumerGroups/$Default/Partitions/0")),
			"amqps://ns.x:5671/Hub/ConsumerGroups/$Default/Partitions/0", "hub/consumergroups/$default/partitions/0"},
		{"Go, token in the connection string", "localhost%3a5672", "amqp://localhost:5672/hub/$management", ""},
		{"Go, the same for a hub", "localhost%3a5672%2fhub", "amqp://localhost:5672/hub/Partitions/1", "hub"},
		{"JavaScript", url.QueryEscape("sb://localhost:5672/hub/Partitions/1"), "sb://localhost:5672/hub/Partitions/1", "hub/partitions/1"},
		{"Python", url.QueryEscape("sb://localhost/hub"), "sb://localhost/hub/consumergroups/$Default", "hub"},
		{"Java", url.QueryEscape("amqp://localhost/hub"), "amqp://localhost/hub", "hub"},
		{".NET", url.QueryEscape("amqps://localhost/hub"), "amqps://localhost/hub/ConsumerGroups/$Default/Partitions/0", "hub"},
		{"HTTP", url.QueryEscape("https://localhost/hub/publishers/p/messages"), "/hub/publishers/p/messages", "hub/publishers/p/messages"},
		{"whole namespace", url.QueryEscape("sb://localhost/"), "hub/Partitions/0", ""},
		{"another name of this host", url.QueryEscape("sb://evhub:5672/hub"), "sb://127.0.0.1:40001/hub", "hub"},
	} {
		token := fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%d&skn=%s", c.sr,
			url.QueryEscape(sign(c.sr, fmt.Sprint(vectorExpiry), RootKey)), vectorExpiry, RootKeyName)
		for _, kind := range []Kind{KindSAS, KindJWT} {
			grant, err := ps.Authenticate(kind, token, c.audience, beforeExpiry)
			wantReason(t, c.name, err, 0)
			if grant.Path != c.path {
				t.Errorf("%s: covers %q, want %q", c.name, grant.Path, c.path)
			}
		}
	}
}

func TestTampering(t *testing.T) {
	t.Parallel()
	ps := development(t)
	good := SignSAS("sb://localhost/hub", RootKeyName, RootKey, time.Unix(vectorExpiry, 0))
	for _, c := range []struct {
		name, from, to string
		want           Reason
	}{
		{"nothing", "hub", "hub", 0},
		{"resource", "%2Fhub", "%2Fhu", BadSignature},
		{"case of an escape", "%3A%2F%2F", "%3a%2f%2f", BadSignature},
		{"escapes undone", "%3A%2F%2F", "://", BadSignature},
		{"expiry", "se=1700000000", "se=1800000000", BadSignature},
		{"zero before the expiry", "se=1", "se=01", BadSignature},
		{"another known key name", RootKeyName, AzuriteAccountName, BadSignature},
		{"unknown key name", RootKeyName, "nobody", UnknownKey},
		{"case of the key name", RootKeyName, strings.ToLower(RootKeyName), UnknownKey},
		{"first of the signature", "sig=C", "sig=D", BadSignature},
		{"last of the signature", "h4%3D", "h5%3D", BadSignature}, // the same 32 bytes to a lenient decoder
		{"padding", "%3D&", "&", BadSignature},
		{"signature for a prefix", "sig=ChipCj", "sig=", BadSignature},
		{"no resource", "sr=", "rs=", Malformed},
		{"no signature", "sig=", "gis=", Malformed},
		{"no expiry", "&se=1700000000", "", Malformed},
		{"no key name", "&skn=" + RootKeyName, "&skn=", Malformed},
		{"resource twice", "&se=", "&sr=x&se=", Malformed},
		{"expiry with a fraction", "se=1700000000", "se=1700000000.5", Malformed},
		{"negative expiry", "se=", "se=-", Malformed},
		{"expiry of 30 digits", "se=", "se=99999999999999999999", Malformed},
		{"another scheme", "SharedAccessSignature", "SharedAccess", Malformed},
		{"a field we do not know", "&se=", "&sv=2014&se=", 0},
	} {
		token := strings.Replace(good, c.from, c.to, 1)
		_, err := ps.Authenticate(KindSAS, token, "sb://localhost/hub", beforeExpiry)
		wantReason(t, c.name, err, c.want)
		if err != nil && (strings.Contains(err.Error(), "ChipCj") || strings.Contains(err.Error(), RootKey)) {
			t.Errorf("%s: a secret in %v", c.name, err)
		}
	}
}

func TestFieldOrder(t *testing.T) {
	t.Parallel()
	fields := strings.Split(strings.TrimPrefix(SignSAS("sb://h/hub", RootKeyName, RootKey, time.Unix(vectorExpiry, 0)), sasPrefix), "&")
	ps := development(t)
	for i := range fields {
		turned := strings.Join(append(append([]string{}, fields[i:]...), fields[:i]...), "&")
		_, err := ps.Authenticate(KindSAS, "sharedaccesssignature "+turned, "hub", beforeExpiry)
		wantReason(t, turned[:4], err, 0)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	ps := development(t)
	end := time.Date(2020, 6, 17, 19, 35, 26, 0, time.UTC)
	token := SignSAS("sb://h/hub", RootKeyName, RootKey, end)
	for _, c := range []struct {
		name string
		now  time.Time
		want Reason
	}{
		{"a nanosecond before", end.Add(-1), 0},
		{"at the second", end, Expired},
		{"later", end.Add(time.Hour), Expired},
	} {
		_, err := ps.Authenticate(KindSAS, token, "hub", c.now)
		wantReason(t, c.name, err, c.want)
		if e, ok := err.(*Error); ok && (!e.Expires.Equal(end) || !strings.Contains(e.Text, "2020-06-17 19:35:26Z")) {
			t.Errorf("%s: %v, expires %s", c.name, e, e.Expires)
		}
	}
	for _, seconds := range []int64{expiresMax, 1700000000000 /* milliseconds */, 1<<63 - 1} {
		grant, err := ps.Authenticate(KindSAS, SignSAS("sb://h/hub", RootKeyName, RootKey, time.Unix(seconds, 0)), "hub", end)
		wantReason(t, fmt.Sprint(seconds), err, 0)
		if got := grant.Expires.Format(time.RFC3339); got != "9999-12-31T23:59:59Z" {
			t.Errorf("%d ends at %s", seconds, got)
		}
	}
}

func FuzzParseSAS(f *testing.F) {
	for _, v := range vectors {
		f.Add(vectorToken(v.sr, v.sig))
	}
	f.Add("SharedAccessSignature sr=&sig=&se=&skn=")
	f.Fuzz(func(t *testing.T, token string) {
		s, err := ParseSAS(token)
		if err != nil {
			wantReason(t, token, err, Malformed)
			return
		}
		if !strings.Contains(token, s.Resource) || s.KeyName == "" || s.Expires.Year() > 9999 {
			t.Errorf("%q: %v", token, s)
		}
		again, err := ParseSAS(fmt.Sprintf("%sse=%s&sr=%s&skn=%s&sig=%s", sasPrefix, s.expiry, s.Resource,
			url.PathEscape(s.KeyName), url.PathEscape(s.sig)))
		if err != nil || again != s {
			t.Errorf("%q: read again %#v, %v", token, again, err)
		}
	})
}

func BenchmarkAuthenticateSAS(b *testing.B) {
	ps, err := NewPolicies(DevelopmentPolicies("ns")...)
	if err != nil {
		b.Fatal(err)
	}
	token := SignSAS("sb://localhost/hub", RootKeyName, RootKey, time.Unix(vectorExpiry, 0))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ps.Authenticate(KindSAS, token, "sb://localhost/hub", beforeExpiry); err != nil {
			b.Fatal(err)
		}
	}
}

// A space in sr is a plus to most encoders; a plus is one only where sr was not encoded.
func TestSASPlusInResource(t *testing.T) {
	t.Parallel()
	expires := beforeExpiry.Add(time.Hour)
	ps, err := NewPolicies(DevelopmentPolicies("ns")...)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, sr, audience string
		want               Reason
	}{
		{"encoded space", "amqp%3A%2F%2Fhost%2Fhub%2FPartitions%2F+", "amqp://host/hub/Partitions/ ", 0},
		{"encoded plus", "sb%3A%2F%2Fhost%2Fhub%2FPublishers%2Fa%2Bb", "sb://host/hub/Publishers/a+b", 0},
		{"encoded space is no plus", "sb%3A%2F%2Fhost%2Fhub%2FPublishers%2Fa+b", "sb://host/hub/Publishers/a+b", WrongScope},
		{"plus as it is", "sb://host/hub/Publishers/a+b", "sb://host/hub/Publishers/a+b", 0},
		{"plus as it is is no space", "sb://host/hub/Publishers/a+b", "sb://host/hub/Publishers/a b", WrongScope},
	} {
		se := strconv.FormatInt(expires.Unix(), 10)
		token := sasPrefix + "sr=" + test.sr + "&sig=" + url.QueryEscape(sign(test.sr, se, RootKey)) + "&se=" + se + "&skn=" + RootKeyName
		_, err := ps.Authenticate(KindSAS, token, test.audience, beforeExpiry)
		var got Reason
		if e, ok := errors.AsType[*Error](err); ok {
			got = e.Reason
		}
		if got != test.want {
			t.Errorf("%s: got %v, %v", test.name, got, err)
		}
	}
}
