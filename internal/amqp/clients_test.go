package amqp

import (
	"reflect"
	"testing"
)

// Frames as other codecs write them: rhea's with 32-bit lists throughout, and live captures of Go and Python clients. Each decodes to the
// value, and the value survives our own encoding.

const (
	filterKey      = Symbol("apache.org:selector-filter:string")
	fromTheStart   = "amqp.annotation.x-opt-offset > '-1'"
	legacySelector = uint64(0x0000468C00000004)
)

func clientFrames() []goldenFrame {
	earliest := Map{{filterKey, &Described{legacySelector, fromTheStart}}}
	return []goldenFrame{
		{
			name: "open", channel: 0,
			frame: `0000002b02000000005310d00000001b0000000aa1026231407000010000600fff700001d4c04040404040`,
			want: &Open{ContainerID: "b1", MaxFrameSize: Some[uint32](65536), ChannelMax: Some[uint16](4095),
				IdleTimeOut: Some[uint32](120000)},
		},
		{
			name: "begin", channel: 1,
			frame: `0000002802000001005311d0000000180000000860000152017000001388700000138852ff404040`,
			want: &Begin{RemoteChannel: Some[uint16](1), NextOutgoingID: 1, IncomingWindow: 5000, OutgoingWindow: 5000,
				HandleMax: Some[uint32](255)},
		},
		{
			name: "attach with filter", channel: 1,
			frame: `000000fc02000001005312d0000000ec0000000ea1027231434250025000005328d0000000920000000ba1286875622f436f6e73756d6572
				47726f7570732f2444656661756c742f506172746974696f6e732f30404040404040d10000005600000002a3216170616368652e6f72673a
				73656c6563746f722d66696c7465723a737472696e6700800000468c00000004a123616d71702e616e6e6f746174696f6e2e782d6f70742d
				6f6666736574203e20272d3127404040005329d00000000e00000007a10263314040404040404040438000000000001000004040d1000000
				1b00000002a313636f6d2e6d6963726f736f66743a65706f63685503`,
			want: &Attach{Name: "r1", Role: RoleSender, SndSettleMode: Some(SndMixed), RcvSettleMode: Some(RcvFirst),
				Source:               &Source{Address: Some("hub/ConsumerGroups/$Default/Partitions/0"), Filter: earliest},
				Target:               &Target{Address: Some("c1")},
				InitialDeliveryCount: Some[uint32](0), MaxMessageSize: Some[uint64](1 << 20),
				Properties: Map{{Symbol("com.microsoft:epoch"), int64(3)}}},
		},
		{
			name: "refused attach", channel: 1,
			frame: `0000002502000001005312d0000000150000000ea102723143424040404040404340404040`,
			want:  &Attach{Name: "r1", Role: RoleSender, InitialDeliveryCount: Some[uint32](0)},
		},
		{
			name: "detach", channel: 1,
			frame: `0000003902000001005316d00000002900000003434100531dd00000001b00000003a30e616d71703a6e6f742d666f756e64a1046e6f7065
				40`,
			want: &Detach{Closed: Some(true), Error: &Error{Condition: CondNotFound, Description: "nope"}},
		},
		{
			name: "attach of the Go client", channel: 0,
			frame: `000001a302000000005312d0000001930000000ea13655744b4a717733546665734f4f6268783078724b556f4a777537325841534d653346
				2d592d5a4e4b625f3335537854655849626c69674341405000005328d00000008f00000008a1286875622f436f6e73756d657247726f7570
				732f2444656661756c742f506172746974696f6e732f31404040404040d10000005600000002a3216170616368652e6f72673a73656c6563
				746f722d66696c7465723a737472696e6700800000468c00000004a123616d71702e616e6e6f746174696f6e2e782d6f70742d6f66667365
				74203e20272d3127005329d00000002a00000001a12462646536626636302d626637322d346636332d373361372d33643333623738396635
				36394040404040e01f01a31c636f6d2e6d6963726f736f66743a67656f7265706c69636174696f6ed10000005e00000004a31b636f6d2e6d
				6963726f736f66743a72656365697665722d6e616d65a12462646536626636302d626637322d346636332d373361372d3364333362373839
				66353639a313636f6d2e6d6963726f736f66743a65706f63685503`,
			want: &Attach{Name: "UtKJqw3TfesOObhx0xrKUoJwu72XASMe3F-Y-ZNKb_35SxTeXIblig", Role: RoleReceiver, RcvSettleMode: Some(RcvFirst),
				Source:              &Source{Address: Some("hub/ConsumerGroups/$Default/Partitions/1"), Filter: earliest},
				Target:              &Target{Address: Some("bde6bf60-bf72-4f63-73a7-3d33b789f569")},
				DesiredCapabilities: []Symbol{"com.microsoft:georeplication"},
				Properties: Map{
					{Symbol("com.microsoft:receiver-name"), "bde6bf60-bf72-4f63-73a7-3d33b789f569"},
					{Symbol("com.microsoft:epoch"), int64(3)},
				}},
		},
		{
			name: "disposition, accepted", channel: 1,
			frame: `0000001d02000001005315d00000000d00000006414343410053244540`,
			want:  &Disposition{Role: RoleReceiver, Last: Some[uint32](0), Settled: Some(true), State: Accepted()},
		},
		{
			name: "disposition, rejected", channel: 1,
			frame: `0000005c02000001005315d00000004c0000000641434341005325d00000003b0000000100531dd00000002f00000003a31f616d71703a6c
				696e6b3a6d6573736167652d73697a652d6578636565646564a107746f6f206269674040`,
			want: &Disposition{Role: RoleReceiver, Last: Some[uint32](0), Settled: Some(true),
				State: Rejected(&Error{Condition: CondMessageSizeExceeded, Description: "too big"})},
		},
		{
			name: "flow", channel: 1,
			frame: `0000002c02000001005313d00000001c0000000b437000001388520170000013884343700000012c43424240`,
			want: &Flow{NextIncomingID: Some[uint32](0), IncomingWindow: 5000, NextOutgoingID: 1, OutgoingWindow: 5000,
				Handle: Some[uint32](0), DeliveryCount: Some[uint32](0), LinkCredit: Some[uint32](300),
				Available: Some[uint32](0), Drain: Some(false), Echo: Some(false)},
		},
	}
}

func TestClientFrames(t *testing.T) {
	t.Parallel()
	for _, g := range clientFrames() {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			h, body := splitFrame(t, unhex(t, g.frame))
			if h.Channel != g.channel || h.Type != FrameAMQP {
				t.Errorf("channel %d type %d, want %d and 0", h.Channel, h.Type, g.channel)
			}
			if rest := decodeAs(t, body, g.want); len(rest) > 0 {
				t.Errorf("%d bytes left", len(rest))
			}
			if rest := decodeAs(t, g.want.Append(nil), g.want); len(rest) > 0 {
				t.Errorf("%d bytes left of our encoding", len(rest))
			}
		})
	}
}

type clientMessage struct {
	name     string
	frame    string
	transfer *Transfer // nil: frame is the message alone
	want     *Message
}

func clientMessages(t testing.TB) []clientMessage {
	at := Timestamp(1700000000000)
	reply := Transfer{DeliveryID: Some[uint32](0), DeliveryTag: []byte{0, 0, 0, 1}, MessageFormat: Some(FormatMessage),
		Settled: Some(true), RcvSettleMode: Opt[uint8]{}}
	event := reply
	event.DeliveryID, event.DeliveryTag = Some[uint32](5), []byte{0, 0, 0, 6}
	goBatch := Transfer{DeliveryID: Some[uint32](0), DeliveryTag: make([]byte, 8), MessageFormat: Some(FormatBatch)}
	pyBatch := Transfer{Handle: 3, DeliveryID: Some[uint32](1), DeliveryTag: []byte{0, 0, 0, 1}, MessageFormat: Some(FormatBatch),
		Settled: Some(false)}
	return []clientMessage{
		{
			name: "reply of $cbs",
			frame: `000000b302000001005314d0000000140000000b4343a004000000014341424040404040005370d000000009000000054040404040005373
				d0000000360000000d4040404040a12436626137623831302d396461642d313164312d383062342d30306330346664343330633840404040
				404040005374d10000003400000004a10b7374617475732d636f646571000000caa1127374617475732d6465736372697074696f6ea10841
				6363657074656400537740`,
			transfer: &reply,
			want: &Message{
				Header:     &MessageHeader{},
				Properties: &Properties{CorrelationID: "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
				ApplicationProperties: Map{
					{"status-code", int32(202)},
					{"status-description", "Accepted"},
				},
				HasValue: true,
			},
		},
		{
			name: "properties of a hub",
			frame: `0000011a02000001005314d0000000140000000b4343a004000000014341424040404040005370d000000009000000054040404040005373
				d0000000140000000d4040404040a1026d3140404040404040005374d10000002e00000004a10b7374617475732d636f646571000000c8a1
				127374617475732d6465736372697074696f6ea1024f4b005377d10000008b0000000ca1046e616d65a103687562a10474797065a116636f
				6d2e6d6963726f736f66743a6576656e74687562a10a637265617465645f6174830000018bcfe56800a10f706172746974696f6e5f636f75
				6e745402a10d706172746974696f6e5f696473f00000000900000002a101300131a11567656f7265706c69636174696f6e5f666163746f72
				5401`,
			transfer: &reply,
			want: &Message{
				Header:     &MessageHeader{},
				Properties: &Properties{CorrelationID: "m1"},
				ApplicationProperties: Map{
					{"status-code", int32(200)},
					{"status-description", "OK"},
				},
				HasValue: true,
				Value: Map{
					{"name", "hub"},
					{"type", "com.microsoft:eventhub"},
					{"created_at", at},
					{"partition_count", int32(2)},
					{"partition_ids", StringArray("0", "1")},
					{"georeplication_factor", int32(1)},
				},
			},
		},
		{
			name: "properties of a partition",
			frame: `005370d000000009000000054040404040005373d0000000140000000d4040404040a1026d3240404040404040005374d10000002e000000
				04a10b7374617475732d636f646571000000c8a1127374617475732d6465736372697074696f6ea1024f4b005377d1000000ef00000012a1
				046e616d65a103687562a109706172746974696f6ea10130a10474797065a117636f6d2e6d6963726f736f66743a706172746974696f6ea1
				15626567696e5f73657175656e63655f6e756d6265725500a11d6c6173745f656e7175657565645f73657175656e63655f6e756d62657255
				29a1146c6173745f656e7175657565645f6f6666736574a10438343732a1166c6173745f656e7175657565645f74696d655f757463830000
				018bcfe56800a11269735f706172746974696f6e5f656d70747942a1236c6173745f656e7175657565645f73657175656e63655f6e756d62
				65725f65706f63685400`,
			want: &Message{
				Header:     &MessageHeader{},
				Properties: &Properties{CorrelationID: "m2"},
				ApplicationProperties: Map{
					{"status-code", int32(200)},
					{"status-description", "OK"},
				},
				HasValue: true,
				Value: Map{
					{"name", "hub"},
					{"partition", "0"},
					{"type", "com.microsoft:partition"},
					{"begin_sequence_number", int64(0)},
					{"last_enqueued_sequence_number", int64(41)},
					{"last_enqueued_offset", "8472"},
					{"last_enqueued_time_utc", at},
					{"is_partition_empty", false},
					{"last_enqueued_sequence_number_epoch", int32(0)},
				},
			},
		},
		{
			name: "event with runtime metric",
			frame: `0000016e02000001005314d0000000150000000b435205a004000000064341424040404040005370d0000000090000000540404040400053
				71d10000008c00000008a31d6c6173745f656e7175657565645f73657175656e63655f6e756d6265725529a3146c6173745f656e71756575
				65645f6f6666736574a10438343732a3166c6173745f656e7175657565645f74696d655f757463830000018bcfe56800a31f72756e74696d
				655f696e666f5f72657472696576616c5f74696d655f757463830000018bcfe569f4005372d10000006800000008a315782d6f70742d7365
				7175656e63652d6e756d6265725528a30c782d6f70742d6f6666736574a10438343030a313782d6f70742d656e7175657565642d74696d65
				830000018bcfe56418a313782d6f70742d706172746974696f6e2d6b6579a102706b005373d0000000110000000d40404040404040404040
				404040005374d10000000900000002a101615501005375a00568656c6c6f`,
			transfer: &event,
			want: &Message{
				Header: &MessageHeader{},
				DeliveryAnnotations: Map{
					{Symbol("last_enqueued_sequence_number"), int64(41)},
					{Symbol("last_enqueued_offset"), "8472"},
					{Symbol("last_enqueued_time_utc"), at},
					{Symbol("runtime_info_retrieval_time_utc"), at + 500},
				},
				MessageAnnotations: Map{
					{Symbol("x-opt-sequence-number"), int64(40)},
					{Symbol("x-opt-offset"), "8400"},
					{Symbol("x-opt-enqueued-time"), at - 1000},
					{Symbol("x-opt-partition-key"), "pk"},
				},
				Properties:            &Properties{},
				ApplicationProperties: Map{{"a", int64(1)}},
				Data:                  [][]byte{[]byte("hello")},
			},
		},
		{
			name: "batch of the Go client",
			frame: `000000fb02000001005314d000000015000000044343a00800000000000000007080013700005373d00000002a00000001a1243065336132
				3034392d323136392d346134302d353830372d326662313766323565623137005374d10000000900000002a101615501005375a04d005373
				d00000002a00000001a12430653361323034392d323136392d346134302d353830372d326662313766323565623137005374d10000000900
				000002a101615501005375a00568656c6c6f005375a03c005373d00000002a00000001a12434323761333734342d663263612d343836342d
				343131302d623033323861303763326530005375a005776f726c64`,
			transfer: &goBatch,
			want: &Message{
				Properties:            &Properties{MessageID: "0e3a2049-2169-4a40-5807-2fb17f25eb17"},
				ApplicationProperties: Map{{"a", int64(1)}},
				Data: [][]byte{
					unhex(t, `005373d00000002a00000001a12430653361323034392d323136392d346134302d353830372d326662313766323565623137`+
						`005374d10000000900000002a101615501005375a00568656c6c6f`),
					unhex(t, `005373d00000002a00000001a12434323761333734342d663263612d343836342d343131302d623033323861303763326530`+
						`005375a005776f726c64`),
				},
			},
		},
		{
			name: "batch of the Python client",
			frame: `0000004f02000001005314c0190b52035201a004000000017080013700560056004040404040005375a015005374c10602a1016154010053
				75a00568656c6c6f005375a00a005375a005776f726c64`,
			transfer: &pyBatch,
			want: &Message{Data: [][]byte{
				unhex(t, `005374c10602a10161540100`+`5375a00568656c6c6f`),
				unhex(t, `005375a005776f726c64`),
			}},
		},
	}
}

func TestClientMessages(t *testing.T) {
	t.Parallel()
	for _, r := range clientMessages(t) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			payload := unhex(t, r.frame)
			if r.transfer != nil {
				_, body := splitFrame(t, payload)
				payload = decodeAs(t, body, r.transfer)
			}
			got, err := DecodeMessage(payload)
			if err != nil {
				t.Fatal(err)
			}
			wantValue(t, "decoded", got, r.want)
			again, err := DecodeMessage(got.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			wantValue(t, "decoded from our encoding", again, r.want)
			if f := r.transfer; f != nil && f.MessageFormat.V == FormatBatch {
				for i, data := range got.Data {
					if inner, err := DecodeMessage(data); err != nil || reflect.DeepEqual(inner, &Message{}) {
						t.Errorf("event %d: %+v, %v", i, inner, err)
					}
				}
			}
		})
	}
}

func TestClientKeepAlive(t *testing.T) {
	t.Parallel()
	h, body := splitFrame(t, unhex(t, "0000000802000000"))
	if h.Type != FrameAMQP || len(body) != 0 {
		t.Errorf("type %d with %d bytes, want an empty AMQP frame", h.Type, len(body))
	}
}
