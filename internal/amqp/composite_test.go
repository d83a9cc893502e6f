package amqp

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// sampleCodecs are composites with every field set.
func sampleCodecs() []codec {
	caps := []Symbol{"one", "two"}
	props := Map{{Symbol("product"), "evhub"}, {Symbol("levels"), List{int32(1), nil}}}
	failure := &Error{Condition: CondServerBusy, Description: "wait", Info: Map{{Symbol("seconds"), int32(4)}}}
	source := &Source{Address: Some("hub/ConsumerGroups/$Default/Partitions/0"), Durable: Some[uint32](1), ExpiryPolicy: "never",
		Timeout: Some[uint32](300), Dynamic: Some(true), DynamicNodeProperties: props, DistributionMode: "copy",
		Filter: Map{{filterKey, &Described{filterKey, fromTheStart}}}, DefaultOutcome: &Described{uint64(CodeReleased), List{}},
		Outcomes: []Symbol{"amqp:accepted:list"}, Capabilities: caps}
	target := &Target{Address: Some("hub"), Durable: Some[uint32](2), ExpiryPolicy: "session-end", Timeout: Some[uint32](1),
		Dynamic: Some(false), DynamicNodeProperties: props, Capabilities: caps}
	modified := DeliveryState{Code: CodeModified, DeliveryFailed: Some(true), UndeliverableHere: Some(false), MessageAnnotations: props}
	return []codec{
		&Open{ContainerID: "c", Hostname: Some("h"), MaxFrameSize: Some[uint32](512), ChannelMax: Some[uint16](7),
			IdleTimeOut: Some[uint32](30000), OutgoingLocales: []Symbol{"en-US"}, IncomingLocales: []Symbol{"de"},
			OfferedCapabilities: caps, DesiredCapabilities: []Symbol{}, Properties: props},
		&Begin{RemoteChannel: Some[uint16](3), NextOutgoingID: 1<<32 - 1, IncomingWindow: 5000, OutgoingWindow: 0,
			HandleMax: Some[uint32](255), OfferedCapabilities: caps, DesiredCapabilities: caps, Properties: Map{}},
		&Attach{Name: "link", Handle: 4, Role: RoleReceiver, SndSettleMode: Some(SndSettled), RcvSettleMode: Some(RcvSecond),
			Source: source, Target: target, Unsettled: Map{{"tag", nil}}, IncompleteUnsettled: Some(true),
			InitialDeliveryCount: Some[uint32](9), MaxMessageSize: Some[uint64](1 << 40), OfferedCapabilities: caps,
			DesiredCapabilities: caps, Properties: props},
		&Flow{NextIncomingID: Some[uint32](1), IncomingWindow: 2, NextOutgoingID: 3, OutgoingWindow: 4, Handle: Some[uint32](5),
			DeliveryCount: Some[uint32](6), LinkCredit: Some[uint32](7), Available: Some[uint32](8), Drain: Some(true), Echo: Some(false),
			Properties: props},
		&Transfer{Handle: 1, DeliveryID: Some[uint32](2), DeliveryTag: []byte{3}, MessageFormat: Some(FormatBatch), Settled: Some(false),
			More: true, RcvSettleMode: Some(RcvSecond), State: modified, Resume: Some(true), Aborted: Some(false), Batchable: Some(true)},
		&Disposition{Role: RoleReceiver, First: 1, Last: Some[uint32](70000), Settled: Some(true), State: Rejected(failure), Batchable: Some(true)},
		&Detach{Handle: 1, Closed: Some(true), Error: failure},
		&End{Error: failure},
		&Close{Error: failure},
		failure,
		source,
		target,
		&DeliveryState{Code: CodeReceived, SectionNumber: 3, SectionOffset: 1 << 33},
		&DeliveryState{Code: CodeRejected, Error: failure},
		&modified,
		&DeliveryState{Code: CodeDeclared, TxnID: []byte{1, 2}},
		&DeliveryState{Code: CodeTransactionalState, TxnID: []byte{1}, Outcome: &DeliveryState{Code: CodeRejected, Error: failure}},
		&SASLMechanisms{Mechanisms: caps},
		&SASLInit{Mechanism: "PLAIN", InitialResponse: []byte("\x00user\x00pass"), Hostname: Some("h")},
		&SASLChallenge{Challenge: []byte{1}},
		&SASLResponse{Response: []byte{2}},
		&SASLOutcome{Code: SASLAuth, AdditionalData: []byte("no")},
		&MessageHeader{Durable: Some(true), Priority: Some[uint8](10), TTL: Some[uint32](60000), FirstAcquirer: Some(false),
			DeliveryCount: Some[uint32](1)},
		sampleProperties(),
	}
}

func sampleProperties() *Properties {
	return &Properties{MessageID: uint64(7), UserID: []byte{1}, To: Some("to"), Subject: Some("subject"), ReplyTo: Some("reply"),
		CorrelationID: UUID{1, 2, 3}, ContentType: Some[Symbol]("text/plain"), ContentEncoding: Some[Symbol]("gzip"),
		AbsoluteExpiryTime: Some[Timestamp](2), CreationTime: Some[Timestamp](1), GroupID: Some("group"),
		GroupSequence: Some[uint32](4), ReplyToGroupID: Some("other")}
}

// fieldNames are the fields of each composite in the specification's order, the mandatory ones marked.
func fieldNames(c Code) []string {
	return strings.Fields(map[Code]string{
		CodeOpen: `container-id! hostname max-frame-size channel-max idle-time-out outgoing-locales incoming-locales
			offered-capabilities desired-capabilities properties`,
		CodeBegin: `remote-channel next-outgoing-id! incoming-window! outgoing-window! handle-max offered-capabilities
			desired-capabilities properties`,
		CodeAttach: `name! handle! role! snd-settle-mode rcv-settle-mode source target unsettled incomplete-unsettled
			initial-delivery-count max-message-size offered-capabilities desired-capabilities properties`,
		CodeFlow: `next-incoming-id incoming-window! next-outgoing-id! outgoing-window! handle delivery-count link-credit available
			drain echo properties`,
		CodeTransfer:    `handle! delivery-id delivery-tag message-format settled more rcv-settle-mode state resume aborted batchable`,
		CodeDisposition: `role! first! last settled state batchable`,
		CodeDetach:      `handle! closed error`,
		CodeEnd:         `error`,
		CodeClose:       `error`,
		CodeError:       `condition! description info`,
		CodeSource: `address durable expiry-policy timeout dynamic dynamic-node-properties distribution-mode filter default-outcome
			outcomes capabilities`,
		CodeTarget:             `address durable expiry-policy timeout dynamic dynamic-node-properties capabilities`,
		CodeReceived:           `section-number! section-offset!`,
		CodeRejected:           `error`,
		CodeModified:           `delivery-failed undeliverable-here message-annotations`,
		CodeDeclared:           `txn-id!`,
		CodeTransactionalState: `txn-id! outcome`,
		CodeSASLMechanisms:     `sasl-server-mechanisms!`,
		CodeSASLInit:           `mechanism! initial-response hostname`,
		CodeSASLChallenge:      `challenge!`,
		CodeSASLResponse:       `response!`,
		CodeSASLOutcome:        `code! additional-data`,
		CodeHeader:             `durable priority ttl first-acquirer delivery-count`,
		CodeProperties: `message-id user-id to subject reply-to correlation-id content-type content-encoding absolute-expiry-time
			creation-time group-id group-sequence reply-to-group-id`,
	}[c])
}

// parts are the encoded fields of a composite.
func parts(t *testing.T, p codec) (code Code, fields [][]byte) {
	t.Helper()
	wire := p.Append(nil)
	descriptor, list, err := ReadDescriptor(wire)
	if err != nil {
		t.Fatal(err)
	}
	count, b, rest, err := ReadListHeader(list)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%d bytes left, error %v", len(rest), err)
	}
	for range count {
		next, err := SkipValue(b)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, b[:len(b)-len(next)])
		b = next
	}
	return Code(descriptor), fields
}

// compose is the composite of these fields under a descriptor, in the list form asked for.
func compose(descriptor []byte, form byte, fields ...[]byte) []byte {
	content := slices.Concat(fields...)
	b := append([]byte{ctorDescribed}, descriptor...)
	switch form {
	case ctorList0:
		return append(b, ctorList0)
	case ctorList8:
		b = append(b, ctorList8, byte(len(content)+1), byte(len(fields)))
	default:
		size := len(content) + 4
		b = append(b, ctorList32, byte(size>>24), byte(size>>16), byte(size>>8), byte(size), 0, 0, 0, byte(len(fields)))
	}
	return append(b, content...)
}

func eachSample(t *testing.T, f func(t *testing.T, p codec, code Code, descriptor []byte, fields [][]byte)) {
	t.Parallel()
	for _, p := range sampleCodecs() {
		code, fields := parts(t, p)
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			if names := fieldNames(code); len(fields) != len(names) {
				t.Fatalf("%d fields, the specification has %d", len(fields), len(names))
			}
			f(t, p, code, AppendUlong(nil, uint64(code)), fields)
		})
	}
}

func TestCompositesInEveryForm(t *testing.T) {
	eachSample(t, func(t *testing.T, p codec, code Code, descriptor []byte, fields [][]byte) {
		descriptors := map[string][]byte{
			"smallulong": descriptor,
			"ulong":      {ctorUlong, 0, 0, 0, 0, 0, 0, 0, byte(code)},
			"symbol":     AppendSymbol(nil, Symbol(code.symbol())),
		}
		for name, d := range descriptors {
			wire := compose(d, ctorList32, fields...)
			if got, err := PeekCode(wire); got != code || err != nil {
				t.Errorf("%s: code %s, error %v", name, got, err)
			}
			if rest := decodeAs(t, append(wire, "payload"...), p); string(rest) != "payload" {
				t.Errorf("%s: rest %q, want the payload", name, rest)
			}
		}
		withUnknown := append(slices.Clone(fields), []byte{ctorString8, 1, 'x'}, []byte{ctorNull})
		decodeAs(t, compose(descriptor, ctorList32, withUnknown...), p)

		left := compose(descriptor, ctorList32, append(slices.Clone(fields[:len(fields)-1]), append(slices.Clone(fields[len(fields)-1]), 0x40))...)
		_, err := newCodec(code).Decode(left)
		wantError(t, "bytes left", err, CondDecodeError, code.String()+": 1 bytes after the last element")
	})
}

func TestCompositesCutOff(t *testing.T) {
	eachSample(t, func(t *testing.T, p codec, code Code, _ []byte, _ [][]byte) {
		wire := p.Append(nil)
		for n := range wire {
			if _, err := newCodec(code).Decode(wire[:n]); err == nil {
				t.Errorf("no error after %d of %d bytes", n, len(wire))
			}
		}
		for i := range wire { // with one byte wrong it may decode or not, and must not panic
			for c := range 256 {
				bad := slices.Clone(wire)
				bad[i] = byte(c)
				if rest, err := newCodec(code).Decode(bad); err != nil && rest != nil {
					t.Errorf("byte %d = %#x: a rest beside the error", i, c)
				}
			}
		}
	})
}

// A field that is null, or missing with all after it, is the same; if it is mandatory the error says composite and field.
func TestCompositesWithoutFields(t *testing.T) {
	eachSample(t, func(t *testing.T, p codec, code Code, descriptor []byte, fields [][]byte) {
		names := fieldNames(code)
		null := []byte{ctorNull}
		for i, name := range names {
			name, mandatory := strings.CutSuffix(name, "!")
			nulled := slices.Clone(fields)
			nulled[i] = null
			got := newCodec(code)
			_, err := got.Decode(compose(descriptor, ctorList32, nulled...))
			if mandatory {
				wantError(t, name, err, CondInvalidField, fmt.Sprintf("%s: %s: mandatory field is missing", code, name))
			} else if err != nil {
				t.Errorf("%s null: %v", name, err)
			} else if _, again := parts(t, got); !slices.EqualFunc(again, nulled, slices.Equal) && name != "more" {
				t.Errorf("%s null: encodes to %x, want %x", name, again, nulled)
			}
			checkMissing(t, code, descriptor, fields, names, i)
		}
	})
}

// checkMissing compares a composite that ends before field i with one that has nulls from there on.
func checkMissing(t *testing.T, code Code, descriptor []byte, fields [][]byte, names []string, i int) {
	t.Helper()
	nulls := slices.Clone(fields)
	for j := i; j < len(nulls); j++ {
		nulls[j] = []byte{ctorNull}
	}
	want, got := newCodec(code), newCodec(code)
	_, wantErr := want.Decode(compose(descriptor, ctorList32, nulls...))
	form := ctorList32
	if i == 0 {
		form = ctorList0
	}
	_, err := got.Decode(compose(descriptor, form, fields[:i]...))
	anyMandatory := slices.ContainsFunc(names[i:], func(name string) bool { return strings.HasSuffix(name, "!") })
	if (err != nil) != anyMandatory || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Errorf("%d fields: error %v, with nulls %v, mandatory ones missing: %v", i, err, wantErr, anyMandatory)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("%d fields:\n got %+v\nwant %+v", i, got, want)
	}
}

func TestCompositesWithWrongTypes(t *testing.T) {
	eachSample(t, func(t *testing.T, p codec, code Code, descriptor []byte, fields [][]byte) {
		decimal := []byte{ctorDecimal32, 1, 2, 3, 4} // which no field takes
		for i, name := range fieldNames(code) {
			name = strings.TrimSuffix(name, "!")
			wrong := slices.Clone(fields)
			wrong[i] = decimal
			_, err := newCodec(code).Decode(compose(descriptor, ctorList32, wrong...))
			switch name {
			case "default-outcome":
				if err != nil {
					t.Errorf("%s takes any type, but: %v", name, err)
				}
			case "address", "to", "reply-to":
				wantError(t, name, err, CondNotImplemented, fmt.Sprintf("%s: %s: address is a decimal, want a string", code, name))
			default:
				wantError(t, name, err, CondDecodeError, fmt.Sprintf("%s: %s: want ", code, name))
				wantError(t, name, err, CondDecodeError, "found decimal (0x74)")
			}
		}
	})
}

func TestDecodeResets(t *testing.T) {
	eachSample(t, func(t *testing.T, p codec, code Code, descriptor []byte, fields [][]byte) {
		for i, name := range fieldNames(code) {
			if !strings.HasSuffix(name, "!") {
				fields[i] = []byte{ctorNull}
			}
		}
		wire := compose(descriptor, ctorList32, fields...)
		fresh := newCodec(code)
		if _, err := fresh.Decode(wire); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Decode(wire); err != nil { // p has all its fields set
			t.Fatal(err)
		}
		wantValue(t, "decoded over another", p, fresh)
	})
}

func TestCompositeOfAnotherKind(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		into codec
		wire string
		want string
	}{
		{"another composite", new(Open), "00 5311 45", "open: found begin"},
		{"unknown number", new(Open), "00 5399 45", "open: found type 0x99"},
		{"unknown symbol", new(Open), `00 a306"my:own" 45`, `open: unknown descriptor "my:own"`},
		{"descriptor of another type", new(Open), "00 5201 45", "open: want ulong, found uint"},
		{"no descriptor", new(Open), "45", "open: want a descriptor, found list"},
		{"nothing", new(Transfer), "", "transfer: input ends before the described value"},
		{"descriptor only", new(Transfer), "005314", "transfer: input ends before the list"},
		{"map", new(Transfer), "005314 c10100", "transfer: want list, found map"},
		{"nested", new(Detach), "005316 c00a03 43 41 005318 c00201 40", "detach: error: found close"},
		{"state", new(Disposition), "005315 c00a06 41 43 40 41 00531045 40", "disposition: state: open is not a delivery state"},
	}
	for _, r := range rows {
		_, err := r.into.Decode(unhex(t, r.wire))
		condition := CondDecodeError
		if r.name == "state" {
			condition = CondNotImplemented
		}
		wantError(t, r.name, err, condition, r.want)
	}
}

func TestDeliveryStates(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name  string
		state DeliveryState
		hex   string
	}{
		{"none", DeliveryState{}, "40"},
		{"accepted", Accepted(), "00532445"},
		{"released", Released(), "00532645"},
		{"rejected", Rejected(&Error{Condition: "a", Description: "b"}), "005325 c00e01 00531d c00803 a30161 a10162 40"},
		{"rejected without error", Rejected(nil), "005325 c00201 40"},
		{"received", DeliveryState{Code: CodeReceived, SectionNumber: 1}, "005323 c00402 5201 44"},
		{"modified", DeliveryState{Code: CodeModified, DeliveryFailed: Some(true)}, "005327 c00403 41 40 40"},
		{"declared", DeliveryState{Code: CodeDeclared, TxnID: []byte{7}}, "005333 c00401 a00107"},
		{"transactional", DeliveryState{Code: CodeTransactionalState, TxnID: []byte{7}, Outcome: &DeliveryState{Code: CodeAccepted}},
			"005334 c00802 a00107 00532445"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			wire := unhex(t, r.hex)
			wantBytes(t, "encoded", r.state.Append(nil), wire)
			d := Disposition{State: r.state}
			decodeAs(t, d.Append(nil), &d)
		})
	}
	nested := (&DeliveryState{Code: CodeTransactionalState, Outcome: &DeliveryState{Code: CodeTransactionalState}}).Append(nil)
	_, err := new(DeliveryState).Decode(nested)
	wantError(t, "transaction in a transaction", err, CondDecodeError, "transactional-state: outcome: transactional-state is not an outcome")
}

func TestCoordinatorTarget(t *testing.T) {
	t.Parallel()
	attach := &Attach{Name: "txn", Coordinator: true, DesiredCapabilities: []Symbol{"x"}}
	decodeAs(t, attach.Append(nil), attach)
	_, fields := parts(t, attach)
	wantBytes(t, "coordinator", fields[6], unhex(t, "005330 c00201 40"))
	fields[6] = unhex(t, `005330 c00f01 a30c"amqp:local-t"`)
	decodeAs(t, compose([]byte{ctorSmallUlong, 0x12}, ctorList32, fields...), attach)
	fields[6] = unhex(t, "005330 5201")
	_, err := new(Attach).Decode(compose([]byte{ctorSmallUlong, 0x12}, ctorList32, fields...))
	wantError(t, "not a list", err, CondDecodeError, "attach: target: coordinator: want list, found uint")
}

// Python clients write every boolean in two bytes, and mechanisms may come as a single symbol.
func TestForeignForms(t *testing.T) {
	t.Parallel()
	decodeAs(t, unhex(t, "005315 c00e06 5601 5200 40 5601 00532445 5600"),
		&Disposition{Role: RoleReceiver, Settled: Some(true), State: Accepted(), Batchable: Some(false)})
	decodeAs(t, unhex(t, `005340 c00c01 a309"ANONYMOUS"`), &SASLMechanisms{Mechanisms: []Symbol{"ANONYMOUS"}})
	decodeAs(t, unhex(t, `005341 c00c01 a309"ANONYMOUS"`), &SASLInit{Mechanism: "ANONYMOUS"})
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*Error{
		"amqp:not-found":       {Condition: CondNotFound},
		"amqp:not-found: nope": {Condition: CondNotFound, Description: "nope"},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Every code has a symbolic descriptor that leads back to it, and a name.
func TestCodes(t *testing.T) {
	t.Parallel()
	known := 0
	for c := Code(0); c < 256; c++ {
		s := c.symbol()
		if s == "" {
			if want := fmt.Sprintf("type %#x", uint64(c)); c.String() != want {
				t.Errorf("%#x: name %q, want %q", uint64(c), c, want)
			}
			continue
		}
		known++
		got, err := PeekCode(AppendSymbol([]byte{ctorDescribed}, Symbol(s)))
		if got != c || err != nil {
			t.Errorf("%s: code %#x, error %v, want %#x", s, uint64(got), err, uint64(c))
		}
		if name := c.String(); !strings.HasPrefix(s, "amqp:"+name+":") {
			t.Errorf("%s: name %q", s, name)
		}
		wantBytes(t, s, AppendDescriptor(nil, c), []byte{0, 0x53, byte(c)})
	}
	if known != 40 {
		t.Errorf("%d codes, want 40", known)
	}
	wantBytes(t, "large code", AppendDescriptor(nil, 0x137000000A), unhex(t, "00 80 000000137000000a"))
}
