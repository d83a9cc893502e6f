package auth

import "testing"

func TestConnectionString(t *testing.T) {
	t.Parallel()
	const key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	for _, c := range []struct {
		name, text string
		want       ConnectionString
	}{
		{"the emulator's",
			"Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;",
			ConnectionString{Host: "localhost", KeyName: RootKeyName, Key: RootKey, Emulator: true}},
		{"a hub's, with a port", "Endpoint=sb://127.0.0.1:40001;SharedAccessKeyName=n;SharedAccessKey=" + key + ";EntityPath=orders;",
			ConnectionString{Host: "127.0.0.1:40001", KeyName: "n", Key: key, EntityPath: "orders"}},
		{"a token", "Endpoint=sb://h;SharedAccessSignature=SharedAccessSignature sr=h&sig=a%3D&se=1&skn=n;",
			ConnectionString{Host: "h", Signature: "SharedAccessSignature sr=h&sig=a%3D&se=1&skn=n"}},
		{"IPv6", "Endpoint=sb://[::1]:5672;SharedAccessKeyName=n;SharedAccessKey=k;",
			ConnectionString{Host: "[::1]:5672", KeyName: "n", Key: "k"}},
	} {
		got, err := ParseConnectionString(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: got %s, %v", c.name, got.Encode(), err)
		}
		if got := c.want.Encode(); got != c.text {
			t.Errorf("%s: encoded %s, want %s", c.name, got, c.text)
		}
	}
	loose := " endpoint = SB://ns.servicebus.windows.net/ ;;SHAREDACCESSKEYNAME=n;\nsharedAccessKey=a=b==;" +
		"TransportType=Amqp;UseDevelopmentEmulator=False"
	got, err := ParseConnectionString(loose)
	want := ConnectionString{Host: "ns.servicebus.windows.net", KeyName: "n", Key: "a=b=="}
	if err != nil || got != want {
		t.Errorf("loosely written: got %s, %v", got.Encode(), err)
	}
}

func TestConnectionStringErrors(t *testing.T) {
	t.Parallel()
	const credential = ";SharedAccessKeyName=n;SharedAccessKey=SECRET"
	for _, c := range []struct{ text, want string }{
		{"", "Endpoint is missing; it looks like Endpoint=sb://host"},
		{"EntityPath=hub" + credential, "Endpoint is missing; it looks like Endpoint=sb://host"},
		{"SECRET", `part 1 has no "="; parts are key=value, separated by semicolons`},
		{"Endpoint=sb://h;SECRET", `part 2 has no "="; parts are key=value, separated by semicolons`},
		{"Endpoint=sb://h;endpoint=sb://h", "part 2 gives a key for the second time"},
		{"Endpoint=localhost" + credential, "Endpoint is not sb://host or sb://host:port"},
		{"Endpoint=ftp://h" + credential, "Endpoint is not sb://host or sb://host:port"},
		{"Endpoint=sb://" + credential, "Endpoint is not sb://host or sb://host:port"},
		{"Endpoint=sb://h:port" + credential, "Endpoint is not sb://host or sb://host:port"},
		{"Endpoint=sb://n:SECRET@h" + credential, "Endpoint is not sb://host or sb://host:port"},
		{"Endpoint=sb://h,SharedAccessKey=SECRET", "Endpoint is not sb://host or sb://host:port"},
		{"Endpoint=sb://h/hub" + credential, "Endpoint has a path; the hub's name goes into EntityPath"},
		{"Endpoint=sb://h;UseDevelopmentEmulator=yes" + credential, "UseDevelopmentEmulator is neither true nor false"},
		{"Endpoint=sb://h;SharedAccessKeyName=n", "SharedAccessKey is missing beside SharedAccessKeyName"},
		{"Endpoint=sb://h;SharedAccessKey=SECRET", "SharedAccessKeyName is missing beside SharedAccessKey"},
		{"Endpoint=sb://h;SharedAccessSignature=SECRET" + credential, "it has both SharedAccessKey and SharedAccessSignature; give one"},
		{"Endpoint=sb://h", "no credential; give SharedAccessKeyName and SharedAccessKey, or SharedAccessSignature"},
	} {
		if _, err := ParseConnectionString(c.text); err == nil || err.Error() != "connection string: "+c.want {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
	}
}

func FuzzParseConnectionString(f *testing.F) {
	f.Add("Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=k==;UseDevelopmentEmulator=true;EntityPath=hub")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConnectionString(text)
		if err != nil {
			return
		}
		if again, err := ParseConnectionString(c.Encode()); err != nil || again != c {
			t.Errorf("%q: encoded %q reads as %q, %v", text, c.Encode(), again.Encode(), err)
		}
	})
}
