package main

import (
	"github.com/evhub-dev/evhub/bench/load"
	"github.com/evhub-dev/evhub/bench/post"
)

// benchCase is a row of the table: a load that evhub, a yardstick and other brokers are put under.
type benchCase struct {
	name      string
	title     string
	reach     string
	yardstick string
	peers     bool // other brokers run it too
	sdk       bool // go-amqp, not the raw generator
	fanOut    bool // what counts is deliveries
	load      load.Options

	post  *post.Options // of cases of the notification service, in place of load
	share float64       // of the requests that a closed loop gets done, to be paced at; 0: as post says
}

const kib = 1 << 10

var benchCases = []benchCase{
	{
		name: "presettled", title: "pre-settled, one sender to one reader", reach: "events/s >= 0.70 of the relay, p99 <= 10 ms",
		yardstick: asRelay, peers: true,
		load: load.Options{Events: 1, Bytes: kib, Settled: true, Readers: 1, InFlight: 1000},
	},
	{
		name: "acknowledged", title: "acknowledged, one sender to one reader", reach: "events/s >= 0.70 of the relay",
		yardstick: asRelay, peers: true,
		load: load.Options{Events: 1, Bytes: kib, Readers: 1, InFlight: 1000},
	},
	{
		name: "batches", title: "batches of 100 x 100 B, acknowledged, no reader", reach: ">= 4 M events/s in",
		yardstick: asSink,
		load:      load.Options{Events: 100, Bytes: 100, InFlight: 1000},
	},
	{
		name: "sdk-send", title: "go-amqp, send only, acknowledged", reach: "events/s >= 0.95 of the sink",
		yardstick: asSink, sdk: true,
		load: load.Options{Events: 1, Bytes: kib, InFlight: 1000},
	},
	{
		name: "sdk", title: "go-amqp, one to one, pre-settled", reach: "events/s >= 0.95 of the relay",
		yardstick: asRelay, sdk: true,
		load: load.Options{Events: 1, Bytes: kib, Settled: true, Readers: 1, InFlight: 1000},
	},
	{
		name: "paced", title: "go-amqp, paced 1,000/s, from scheduled send time", reach: "p50 <= 1.2, p99 <= 1.3 of the relay",
		yardstick: asRelay, sdk: true,
		load: load.Options{Events: 1, Bytes: kib, Settled: true, Readers: 1, InFlight: 1000, PerSec: 1000},
	},
	{
		name: "fan-out", title: "pre-settled, fan-out to 8 groups (deliveries)", reach: ">= 1.5 M deliveries/s, or the kernel's share",
		yardstick: asRelay, fanOut: true,
		load: load.Options{Events: 1, Bytes: kib, Settled: true, Readers: groupsMax, InFlight: 1000},
	},
	{
		name: "gateway", title: "notification service: POST of 0.5 KB, 64 connections", reach: ">= 18 k requests/core-s",
		yardstick: asHTTP, post: &post.Options{Path: onePath, Body: halfKB(), Events: 1, Conns: 64},
	},
	{
		name: "gateway-batch", title: "notification service: POST of 100 messages of 100 B, 16 connections", reach: ">= 100 k events/core-s",
		yardstick: asHTTP, post: &post.Options{Path: batchPath, Body: hundred(100), Events: 100, Conns: 16},
	},
	{
		name: "gateway-idle", title: "notification service: POST of 0.5 KB, paced 100/s, from scheduled send time", reach: "p50 <= 0.5 ms, p99 <= 5 ms",
		yardstick: asHTTP, post: &post.Options{Path: onePath, Body: halfKB(), Events: 1, Conns: 4, PerSec: 100},
	},
	{
		name: "gateway-half", title: "notification service: POST of 0.5 KB, paced at half load, from scheduled send time",
		reach: "p50 <= 2 ms, p99 <= 5 ms", yardstick: asHTTP,
		post: &post.Options{Path: onePath, Body: halfKB(), Events: 1, Conns: 32}, share: 0.5,
	},
}

func caseNames() []string {
	var names []string
	for _, c := range benchCases {
		names = append(names, c.name)
	}
	for _, c := range figures {
		names = append(names, c.name)
	}
	return names
}
